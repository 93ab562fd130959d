//! Arguments of `eval`.

use std::{path::PathBuf, str::FromStr};

use clap::Args;

use super::Weights;

#[derive(Debug, Args)]
pub struct EvalArgs {
    /// A checkpoint file, or a folder of them (or a run folder): then the newest valid one
    #[arg(long, value_name = "C")]
    pub checkpoint: PathBuf,
    /// Network calls per sample, separated by commas: up to 2 are placed as `few`, up to 8 as `any`, more as `mul`. N@G has
    /// classifier-free guidance of scale G
    #[arg(long, value_delimiter = ',', value_name = "N[@G],..", default_value = "1,2,4,30")]
    pub nfe: Vec<Calls>,
    /// Samples per class (by default 200), or number of captions (500), drawn by the seed
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u32).range(1..))]
    pub count: Option<u32>,
    /// Samples of each caption; diversity needs two
    #[arg(long, value_name = "M", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    pub per_caption: u32,
    /// Training images, which the classifier learns from [default: the checkpoint's config, data.path]
    #[arg(long, value_name = "FILE.h5")]
    pub data: Option<PathBuf>,
    /// Test images, which samples are compared with [default: NAME-test.h5 beside the training images' NAME.h5]
    #[arg(long, value_name = "FILE.h5")]
    pub test_data: Option<PathBuf>,
    /// Pictures whose captions were not trained on [default: NAME-held-out.h5 beside the training images, if it is there]
    #[arg(long, value_name = "FILE.h5")]
    pub held_out: Option<PathBuf>,
    /// Which of the checkpoint's weights to use
    #[arg(long, value_enum, default_value_t = Weights::Ema)]
    pub weights: Weights,
    /// Where the trained classifier is kept [default: NAME.judge.h5 beside the training images]
    #[arg(long, alias = "judge", value_name = "FILE.h5")]
    pub classifier: Option<PathBuf>,
    /// The results with all settings
    #[arg(long, value_name = "FILE.json", default_value = "eval.json")]
    pub out: PathBuf,
    /// Seed of the samples' noise; equal seeds give equal results
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Changes to the checkpoint's settings, e.g. device.platform=cuda
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
}

/// Network calls per sample, and the scale of their guidance: `30@3`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calls {
    pub nfe: usize,
    /// 1: none.
    pub guidance: f64,
}

impl FromStr for Calls {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (nfe, guidance) = text.split_once('@').unwrap_or((text, "1"));
        let nfe = nfe.parse::<u32>().ok().filter(|nfe| *nfe > 0);
        let guidance = guidance.parse::<f64>().ok().filter(|scale| scale.is_finite());
        let (nfe, guidance) = nfe.zip(guidance).ok_or("numbers of calls are needed, such as 1,4,30@3")?;
        Ok(Calls { nfe: nfe as usize, guidance })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parsed(arguments: &[&str]) -> Result<EvalArgs, clap::Error> {
        let all = ["twinflow-xla", "eval", "--checkpoint", "c"].iter().chain(arguments);
        let Command::Eval(args) = Cli::try_parse_from(all)?.command else { panic!("eval expected") };
        Ok(args)
    }

    #[test]
    fn the_classifier_s_file_keeps_its_older_name() {
        for flag in ["--classifier", "--judge"] {
            assert_eq!(parsed(&[flag, "c.h5"]).unwrap().classifier, Some("c.h5".into()));
        }
    }

    #[test]
    fn calls_may_have_guidance() {
        let calls = |nfe, guidance| Calls { nfe, guidance };
        assert_eq!(parsed(&["--nfe", "1,30@3.5"]).unwrap().nfe, [calls(1, 1.0), calls(30, 3.5)]);
        for wrong in ["0", "1@", "@3", "30@nan", "many"] {
            let error = parsed(&["--nfe", wrong]).unwrap_err().to_string();
            assert!(error.contains("such as 1,4,30@3"), "{error}");
        }
    }
}
