//! The command line.

mod eval;
mod import;
mod info;

use std::path::PathBuf;

use clap::{
    Args, Parser, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use clap_complete::Shell;
use serde::de::DeserializeOwned;
use twinflow_methods::flow::SampleStyle;

pub use eval::{Calls, EvalArgs};
pub use import::{DebianDataset, ImportArgs, ImportKind, Layout, Resample};
pub use info::InfoArgs;

use crate::config::{Config, SettingError, named, names};

/// Turns a flow-matching image model into a one-step generator by TwinFlow, on any XLA device.
#[derive(Debug, Parser)]
#[command(name = "twinflow-xla", version, propagate_version = true, max_term_width = 110)]
#[command(after_help = "First time here? `twinflow-xla doctor` says what is installed, `twinflow-xla train` runs the \
                        quickstart, and `mpirun -n 2 twinflow-xla train` shares it between two processes.")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a model: flow matching first, then TwinFlow
    ///
    /// Writes a run folder (by default runs/NAME) with config.toml, metrics.jsonl, checkpoints/, samples/ and report.html.
    /// Ctrl-C, SIGTERM and SIGUSR1 finish the step, save a checkpoint and exit with code 75; --resume goes on from there.
    #[command(after_help = "Examples:\n  \
        twinflow-xla train\n  \
        mpirun -n 2 twinflow-xla train --config configs/fashion-mnist.toml --set train.steps=4000\n  \
        twinflow-xla train --resume runs/fashion-mnist")]
    Train(TrainArgs),
    /// Make pictures with a trained model
    #[command(after_help = "Examples:\n  \
        twinflow-xla sample --checkpoint runs/quickstart --nfe 1 --out one-step.png\n  \
        twinflow-xla sample --checkpoint runs/emoji --prompt \"a red heart\" --prompt \"a sleepy cat\" --out prompts.png\n  \
        twinflow-xla sample --checkpoint runs/quickstart/checkpoints --labels 0,1,2 --count 100 --out samples.h5")]
    Sample(SampleArgs),
    /// Measure a trained model's samples: class accuracy, Frechet distance, diversity
    ///
    /// A small classifier, trained on the real training images (once per dataset, about a minute), judges the samples.
    /// Frechet distances are taken in its features, to the real test images; diversity is the mean distance of two
    /// samples of a class, as a share of that of two test images. Samples have the method's usual settings for each
    /// number of calls.
    ///
    /// Samples of captions are judged by a classifier that tells all real pictures apart (once per dataset, some minutes):
    /// retrieval is the share of samples to which the nearest real picture is one of the caption's own, in its features
    /// or by pixels; Frechet distances are to the captions' own pictures; diversity is the mean distance of two samples
    /// of a caption, as a share of that by the most calls.
    #[command(after_help = "Examples:\n  \
        twinflow-xla eval --checkpoint runs/quickstart\n  \
        twinflow-xla eval --checkpoint runs/emoji --nfe 1,2,4,30@3\n  \
        twinflow-xla eval --checkpoint runs/quickstart --nfe 1,30 --count 1000 --out runs/quickstart/eval.json")]
    Eval(EvalArgs),
    /// Bring datasets into the HDF5 layout that training reads, and look into them
    #[command(subcommand)]
    Data(DataCommand),
    /// Look into, check and export checkpoints
    #[command(subcommand)]
    Checkpoint(CheckpointCommand),
    /// Write the programs that a config compiles to, or what they need on a device
    #[command(after_help = "Examples:\n  \
        twinflow-xla graph --config configs/toy.toml --program twinflow-step\n  \
        twinflow-xla graph --config configs/dit-xl-2.toml --target h200\n  \
        twinflow-xla graph --config configs/toy.toml --target here --json")]
    Graph(GraphArgs),
    /// Say what is installed and working here, and what to do about what is not
    Doctor(DoctorArgs),
    /// Write a run's report anew: curves, samples, evaluation and settings in one HTML file
    Report {
        /// The run folder; the report becomes its report.html
        run: PathBuf,
    },
    /// Print a script that completes this program's arguments in a shell
    #[command(after_help = "Examples:\n  \
        source <(twinflow-xla completions bash)\n  \
        twinflow-xla completions fish > ~/.config/fish/completions/twinflow-xla.fish")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Where a config comes from.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigArgs {
    /// TOML file with the settings; without it the quickstart's (configs/quickstart.toml) are used
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,
    /// Change one setting, e.g. train.steps=2000; may be given several times
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
}

impl ConfigArgs {
    /// The config that is asked for.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn load(&self) -> Result<Config, SettingError> {
        match &self.config {
            Some(path) => Config::from_file(path, &self.set),
            None => Config::quickstart(&self.set),
        }
    }
}

#[derive(Debug, Args)]
pub struct TrainArgs {
    /// The settings of a new run, or changes to those of a resumed one.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Go on with the run in this folder, from its newest valid checkpoint
    #[arg(long, value_name = "RUN", conflicts_with = "config")]
    pub resume: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct SampleArgs {
    /// A checkpoint file, or a folder of them (or a run folder): then the newest valid one
    #[arg(long, value_name = "C")]
    pub checkpoint: PathBuf,
    /// Network calls per picture [default: the checkpoint's config, sample.nfe]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub nfe: Option<u32>,
    /// How the calls are placed: few (1-2 calls), any (4-8), mul (30 and more) [default: sample.style]
    #[arg(long, value_parser = one_of::<SampleStyle>())]
    pub style: Option<SampleStyle>,
    /// Classes to draw, separated by commas [default: all; a picture shows at most 64, spread evenly]
    #[arg(long, value_delimiter = ',', value_name = "LABELS")]
    pub labels: Vec<u32>,
    /// What the picture is to show, for models of captions; may be given several times
    #[arg(long, value_name = "TEXT", conflicts_with = "labels")]
    pub prompt: Vec<String>,
    /// A file with a prompt per line
    #[arg(long, value_name = "FILE", conflicts_with = "labels")]
    pub prompts: Option<PathBuf>,
    /// What the pictures are not to show, in place of the empty prompt; it takes effect by --guidance
    #[arg(long, value_name = "TEXT")]
    pub negative: Option<String>,
    /// Scale of classifier-free guidance; 1 is none and saves half of each call [default: sample.guidance]
    #[arg(long, value_name = "G")]
    pub guidance: Option<f64>,
    /// Width and height of the pictures, such as 384x256 [default: those of most pictures trained on]
    #[arg(long, value_name = "WxH", value_parser = size)]
    pub size: Option<[usize; 2]>,
    /// Pictures per label (by default 8) or prompt (1)
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u32).range(1..))]
    pub count: Option<u32>,
    /// Seed of the noise; equal seeds give equal pictures
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Which of the checkpoint's weights to use
    #[arg(long, value_enum, default_value_t = Weights::Ema)]
    pub weights: Weights,
    /// A picture (.png: a row per label; prompts have theirs below them, and each picture is a file of its own in the folder
    /// of that name too) or an HDF5 file (.h5: `images` u8 [n, height, width, channels], `labels`)
    #[arg(long, value_name = "FILE", default_value = "samples.png")]
    pub out: PathBuf,
    /// Changes to the checkpoint's settings, e.g. sample.stochastic_ratio=0.8 or device.platform=cuda
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
}

/// An argument that has the names of a setting in a config file.
fn one_of<T: DeserializeOwned + Clone + Send + Sync + 'static>() -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(names::<T>()).try_map(|name| named(&name).ok_or("no such name"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Weights {
    /// The moving average kept for sampling
    Ema,
    /// The weights as trained
    Params,
    /// The teacher's moving average
    Teacher,
}

impl Weights {
    /// The prefix of these weights' names in a checkpoint.
    pub fn prefix(self) -> &'static str {
        match self {
            Weights::Ema => "ema",
            Weights::Params => "params",
            Weights::Teacher => "teacher",
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Convert a dataset to HDF5
    #[command(after_help = "Examples:\n  \
        twinflow-xla data import --from-debian fashion-mnist --out datasets/fashion-mnist.h5\n  \
        twinflow-xla data import --pictures photos --resolution 256 --out datasets/photos.h5\n  \
        twinflow-xla data import --hdf5 cifar.h5 --images train/x --labels train/y --out datasets/cifar.h5\n  \
        twinflow-xla data import --kind idx --images train-images-idx3-ubyte.gz \\\n      \
        --labels train-labels-idx1-ubyte.gz --name digits --out datasets/digits.h5")]
    Import(ImportArgs),
    /// Give a dataset of captions a tokenizer, which makes the tokens that models read
    #[command(after_help = "Examples:\n  \
        twinflow-xla data tokenizer datasets/emoji.h5 --vocabulary 1024\n  \
        twinflow-xla data tokenizer datasets/photos.h5 --file gemma/tokenizer.json --tokens 300")]
    Tokenizer(TokenizerArgs),
    /// Show what a dataset holds and whether its checksums agree
    #[command(after_help = "Examples:\n  \
        twinflow-xla data info datasets/photos.h5\n  \
        twinflow-xla data info datasets/photos.h5 --picture page.png --count 30")]
    Info(InfoArgs),
}

#[derive(Debug, Args)]
#[group(id = "origin", required = true, multiple = false)]
pub struct TokenizerOrigin {
    /// Train one on the dataset's captions, of at most so many tokens
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub vocabulary: Option<u32>,
    /// Take this tokenizer.json, as Hugging Face's libraries save it
    #[arg(long, value_name = "tokenizer.json")]
    pub file: Option<PathBuf>,
    /// Take that of another dataset
    #[arg(long, value_name = "FILE.h5")]
    pub of: Option<PathBuf>,
    /// Take that of a checkpoint
    #[arg(long, value_name = "C")]
    pub checkpoint: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct TokenizerArgs {
    /// The HDF5 dataset, which is replaced by one that has the tokenizer
    pub dataset: PathBuf,
    /// Which tokenizer.
    #[command(flatten)]
    pub origin: TokenizerOrigin,
    /// Tokens of a prompt; longer captions are cut [default: those of the other dataset or checkpoint, or of the longest
    /// caption]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub tokens: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub enum CheckpointCommand {
    /// List a checkpoint's step, parameters and shapes
    Info {
        /// A checkpoint file or a folder of them
        checkpoint: PathBuf,
    },
    /// Check every checksum
    Verify {
        /// A checkpoint file or a folder of them
        checkpoint: PathBuf,
    },
    /// Write plain weights for other programs
    Export(ExportArgs),
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// A checkpoint file, or a folder of them: then the newest valid one
    pub checkpoint: PathBuf,
    /// Where to: .safetensors (names and layouts of PyTorch modules) or .h5 (those of this program)
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Which weights
    #[arg(long, value_enum, default_value_t = Weights::Ema)]
    pub weights: Weights,
}

#[derive(Debug, Args)]
pub struct GraphArgs {
    /// The settings whose programs to show.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Which program, such as flow-step, twinflow-step, gradients, update or sample; without it all of them
    #[arg(long, value_name = "NAME")]
    pub program: Option<String>,
    /// stablehlo: what XLA gets; program: a listing for people
    #[arg(long, value_enum, default_value_t = GraphFormat::Stablehlo)]
    pub format: GraphFormat,
    /// Folder for the files; without it the text goes to standard output
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
    /// Compile in place of writing, and say what memory each program takes and what it computes and moves: for a GPU that
    /// need not be here (a100, h100, h200, b200, or a file that describes one), or for the device of this machine (here)
    #[arg(long, value_name = "TARGET", conflicts_with_all = ["format", "out"])]
    pub target: Option<String>,
    /// Say it as JSON
    #[arg(long, requires = "target")]
    pub json: bool,
}

/// Formats of `graph`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// StableHLO text
    Stablehlo,
    /// A readable listing
    Program,
}

/// The longest side of a picture, in pixels.
const MOST_SIDE: usize = 8192;

/// Width and height, in pixels.
fn size(text: &str) -> Result<[usize; 2], &'static str> {
    let sides = text.split_once('x').and_then(|(width, height)| Some([width.parse().ok()?, height.parse().ok()?]));
    let fits = |side: &usize| (1..=MOST_SIDE).contains(side);
    sides.filter(|sides| sides.iter().all(fits)).ok_or("width and height are needed, such as 384x256")
}

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The settings to check against.
    #[command(flatten)]
    pub config: ConfigArgs,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn labels_are_a_list_and_zero_calls_are_refused() {
        let parse =
            |nfe| Cli::try_parse_from(["twinflow-xla", "sample", "--checkpoint", "c", "--labels", "0,2", "--nfe", nfe]);
        let Command::Sample(args) = parse("2").unwrap().command else { panic!("sample expected") };
        assert_eq!((args.labels, args.nfe), (vec![0, 2], Some(2)));
        assert!(parse("0").is_err());
    }

    #[test]
    fn sizes_are_width_and_height() {
        assert_eq!(size("384x256"), Ok([384, 256]));
        assert!(["384", "384x", "0x8", "8x99999", "axb", "8x8x3"].iter().all(|text| size(text).is_err()));
    }

    #[test]
    fn styles_have_the_names_of_the_setting() {
        let parse = |style| Cli::try_parse_from(["twinflow-xla", "sample", "--checkpoint", "c", "--style", style]);
        let Command::Sample(args) = parse("mul").unwrap().command else { panic!("sample expected") };
        assert_eq!(args.style, Some(SampleStyle::Mul));
        let error = parse("best").unwrap_err().to_string();
        assert!(error.contains("[possible values: few, any, mul]"), "{error}");
    }
}
