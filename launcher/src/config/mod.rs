//! The settings of a run: a section per subject, composed from the crates that own them.

mod culprit;
mod error;
mod load;
mod source;
mod train;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use twinflow_array::DType;
use twinflow_data::ToyKind;
use twinflow_graphs::{
    flow::{FlowConfig, SampleConfig},
    models::ModelConfig,
    optim::OptimizerConfig,
    step::{StepConfig, Trainer},
    twinflow::TwinFlowConfig,
};

use crate::cli::ConfigArgs;
pub use error::{ConfigError, Problem};
pub use source::Source;
pub use train::{NonFinite, TrainConfig};

/// The quickstart's settings, used where no file is named.
const QUICKSTART: &str = include_str!("../../../configs/quickstart.toml");

/// All settings. Unknown keys are errors; every key has a default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the run lives and its seed.
    pub run: RunConfig,
    /// The accelerator.
    pub device: DeviceConfig,
    /// The dataset.
    pub data: DataConfig,
    /// The network.
    pub model: ModelConfig,
    /// The flow-matching phase, which comes first.
    pub flow: FlowConfig,
    /// The TwinFlow phase.
    pub twinflow: TwinFlowConfig,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// How long and with what batches.
    pub train: TrainConfig,
    /// How samples are made.
    pub sample: SampleConfig,
    /// Where the settings were written, for messages about them.
    #[serde(skip)]
    origins: Origins,
}

/// Texts that settings came from, the later ones winning.
#[derive(Debug, Clone, Default)]
struct Origins(Vec<Source>);

impl PartialEq for Origins {
    /// Where a setting was written is not a setting.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// `[run]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// Name of the run; its folder is runs/NAME, or runs/NAME-2, ... if that is taken.
    pub name: String,
    /// The run folder itself; empty: by name.
    pub dir: PathBuf,
    /// Seed of the first weights, the order of samples and every random draw.
    pub seed: u32,
}

impl Default for RunConfig {
    fn default() -> Self {
        RunConfig { name: "run".into(), dir: PathBuf::new(), seed: 0 }
    }
}

/// `[device]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceConfig {
    /// Which kind of device.
    pub platform: Platform,
    /// Path of a PJRT plugin; empty: found in the environment and the known places.
    pub plugin: PathBuf,
    /// Devices per process. On a CPU that many are made; GPUs are taken by local rank.
    pub devices: usize,
    /// Share of a GPU's memory that may be taken.
    pub memory_fraction: f64,
    /// XLA's backend optimisation level (0: compiles fast, runs slower); -1: the plugin's own.
    pub optimization_level: i64,
}

impl Default for DeviceConfig {
    fn default() -> Self {
        let platform = Platform::Auto;
        DeviceConfig { platform, plugin: PathBuf::new(), devices: 1, memory_fraction: 0.9, optimization_level: -1 }
    }
}

/// Kinds of devices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Platform {
    /// A GPU if there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// NVIDIA GPUs.
    Cuda,
}

/// `[data]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// Where samples come from.
    pub kind: DataKind,
    /// HDF5 file, for `kind = "hdf5"`.
    pub path: PathBuf,
    /// Which points, for `kind = "toy"`.
    pub toy: ToyKind,
    /// Picture height in pixels; given for `kind = "synthetic"`, else the dataset's own.
    pub height: usize,
    /// Picture width in pixels; as above.
    pub width: usize,
    /// 1 (gray) or 3 (RGB); as above.
    pub channels: usize,
    /// Number of classes; as above.
    pub classes: usize,
    /// Mirror pictures left to right at random.
    pub flip: bool,
    /// Check the file's checksums before training.
    pub verify: bool,
}

impl Default for DataConfig {
    fn default() -> Self {
        DataConfig {
            kind: DataKind::Hdf5,
            path: "datasets/fashion-mnist.h5".into(),
            toy: ToyKind::Moons,
            height: 32,
            width: 32,
            channels: 3,
            classes: 10,
            flip: false,
            verify: true,
        }
    }
}

impl DataConfig {
    /// Height, width and channels of a sample.
    pub fn shape(&self) -> [usize; 3] {
        [self.height, self.width, self.channels]
    }
}

/// Sources of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataKind {
    /// A file that `data import` wrote.
    Hdf5,
    /// Points in the plane, made on the spot.
    Toy,
    /// Random pictures of any size, to measure speed.
    Synthetic,
}

impl Config {
    /// The config that the command line asks for.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn from_args(args: &ConfigArgs) -> Result<Self, ConfigError> {
        match &args.config {
            Some(path) => Self::from_file(path, &args.set),
            None => Self::from_text("quickstart.toml (built in)", QUICKSTART, &args.set),
        }
    }

    /// The config of a file with `--set` assignments on top.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn from_file(path: &Path, assignments: &[String]) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let problem = Problem::Unreadable { path: path.display().to_string(), reason: error.to_string() };
            ConfigError::nowhere(problem)
        })?;
        Self::from_text(&path.display().to_string(), &text, assignments)
    }

    /// The config of a text with `--set` assignments on top; `name` stands in messages.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn from_text(name: &str, text: &str, assignments: &[String]) -> Result<Self, ConfigError> {
        load::load(Source::toml(name, text), assignments)
    }

    /// The whole config as TOML, defaults included.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("every setting has a TOML form")
    }

    /// Network, losses and optimizer for a world of `processes`.
    ///
    /// # Errors
    /// Values that do not fit each other, the dataset or the world.
    pub fn trainer(&self, processes: usize) -> Result<Trainer, ConfigError> {
        let train = &self.train;
        let config = StepConfig {
            model: self.model.clone(),
            flow: self.flow.clone(),
            twinflow: self.twinflow.clone(),
            optimizer: self.optimizer.clone(),
            steps: train.steps,
            batch_size: train.batch_size,
            micro_batches: train.micro_batches,
            precision: train.precision,
            ema_decay: train.ema_decay,
            processes,
            devices: self.device.devices,
            sample: self.data.shape(),
            sample_dtype: DType::F32,
            classes: self.data.classes,
        };
        Trainer::new(config).map_err(|error| self.refused(&error))
    }

    /// A refusal by the crate that owns the setting, shown where the setting is written.
    fn refused(&self, error: &twinflow_graphs::ConfigError) -> ConfigError {
        use twinflow_graphs::ConfigError as Refusal;
        let key = match error {
            Refusal::Value { key, .. } | Refusal::NotMultiple { key, .. } => key,
            Refusal::Conflict { second, .. } => second,
            Refusal::BatchTooSmall { .. } | Refusal::PartNotDivisible { .. } => "train.batch_size",
        };
        let problem = Problem::Unfit { reason: error.to_string() };
        ConfigError::with_key(problem, key, &self.origins.0)
    }

    /// Refuses values that fit their type but make no sense.
    fn validate(&self) -> Result<(), ConfigError> {
        self.validate_own().map_err(|(key, reason)| {
            let problem = Problem::Refused { key: key.to_owned(), reason: reason.to_owned() };
            ConfigError::with_key(problem, key, &self.origins.0)
        })?;
        let sections =
            [self.flow.validate(), self.twinflow.validate(), self.optimizer.validate(), self.sample.validate()];
        sections.into_iter().collect::<Result<(), _>>().map_err(|error| self.refused(&error))
    }

    /// The launcher's own sections: key and reason of the first value refused.
    fn validate_own(&self) -> Result<(), (&'static str, &'static str)> {
        let require = |holds: bool, key, reason| if holds { Ok(()) } else { Err((key, reason)) };
        let plain = !self.run.name.is_empty() && !self.run.name.contains(['/', '\\']);
        require(plain, "run.name", "must be a plain name: it becomes a folder below runs/")?;
        require(self.device.devices > 0, "device.devices", "at least one device per process is needed")?;
        let fraction = self.device.memory_fraction;
        require(fraction > 0.0 && fraction <= 1.0, "device.memory_fraction", "must lie above 0 and up to 1")?;
        let level = self.device.optimization_level;
        require((-1..=3).contains(&level), "device.optimization_level", "must be -1 (the plugin's own) or 0 to 3")?;
        let synthetic = self.data.kind == DataKind::Synthetic;
        require(!synthetic || [1, 3].contains(&self.data.channels), "data.channels", "must be 1 (gray) or 3 (RGB)")?;
        require(self.train.batch_size > 0, "train.batch_size", "must be at least 1")?;
        require(
            self.train.steps < u64::from(u32::MAX),
            "train.steps",
            "must be below 2^32: random numbers count steps so",
        )?;
        require(self.sample.per_class > 0, "sample.per_class", "must be at least 1")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message with its place and help, as the user sees it but for colours.
    fn refused(text: &str, assignments: &[&str]) -> String {
        let assignments: Vec<String> = assignments.iter().map(|text| (*text).to_owned()).collect();
        let error = Config::from_text("c.toml", text, &assignments).unwrap_err();
        let mut out = String::new();
        miette::NarratableReportHandler::new().render_report(&mut out, &error).unwrap();
        out
    }

    fn check(out: &str, parts: &[&str]) {
        parts.iter().for_each(|part| assert!(out.contains(part), "'{part}' is not in:\n{out}"));
    }

    #[test]
    fn unknown_keys_name_the_nearest_and_their_line() {
        let out = refused("[run]\nname = \"a\"\n[device]\nplatfrom = \"cpu\"\n", &[]);
        check(
            &out,
            &["unknown key 'device.platfrom'", "did you mean 'platform'?", "memory_fraction", "c.toml", "line 4"],
        );
        check(&refused("[devices]\n", &[]), &["unknown key 'devices'", "did you mean 'device'?"]);
    }

    #[test]
    fn wrong_values_say_what_was_found_and_what_is_allowed() {
        let out = refused("[device]\nplatform = \"gpu\"\n", &[]);
        check(&out, &["device.platform is \"gpu\", but must be one of \"auto\", \"cpu\", \"cuda\"", "line 2"]);
        let out = refused("[device]\ndevices = \"two\"\n", &[]);
        check(&out, &["device.devices is \"two\", but must be a whole number, 0 or more"]);
        check(&refused("[device]\ndevices = -1\n", &[]), &["device.devices is -1", "a whole number, 0 or more"]);
        check(&refused("[device]\nmemory_fraction = 1.5\n", &[]), &["device.memory_fraction: must lie above 0"]);
        check(&refused("device = 3\n", &[]), &["device is 3"]);
        check(&refused("[device\n", &[]), &["not valid TOML", "line 1"]);
    }

    #[test]
    fn assignments_are_checked_where_they_stand() {
        check(&refused("", &["data.kinds=toy"]), &["unknown key 'data.kinds'", "did you mean 'kind'?", "--set"]);
        check(&refused("", &["data.kind=toys"]), &["data.kind is \"toys\"", "did you mean \"toy\"?", "--set"]);
        check(&refused("", &["steps=3"]), &["--set wants SECTION.KEY=VALUE, not 'steps=3'"]);
    }

    #[test]
    fn tagged_sections_have_places_too() {
        let out = refused("[model]\nkind = \"dit\"\nwidth = 8\ndepht = 2\n", &[]);
        check(&out, &["unknown key 'model.depht'", "did you mean 'depth'?", "line 4"]);
        let out = refused("[model]\nkind = \"mlp\"\npatch = 2\n", &[]);
        check(&out, &["unknown key 'model.patch'", "Known in [model]: width, depth"]);
        check(&refused("[model]\nkind = \"unet\"\n", &[]), &["model.kind is \"unet\"", "\"dit\", \"mlp\"", "line 2"]);
        check(&refused("[model]\nwidth = 1.5\n", &[]), &["model.width is 1.5, but must be a whole number, 0 or more"]);
    }

    #[test]
    fn the_method_s_own_refusals_are_shown_in_place() {
        let out = refused("[twinflow]\nestimate_order = 4\n", &[]);
        check(&out, &["twinflow.order = 4 is not allowed: 0 to 3"]);
        let out = refused("[twinflow]\nshares = { e2e = 1, mul = 1, any = 1, adv = 1, adw = 2 }\n", &[]);
        check(&out, &["unknown key 'twinflow.shares.adw'", "did you mean 'adv'?", "line 2"]);
        check(&refused("", &["train.non_finite=ignore"]), &["train.non_finite is \"ignore\"", "\"stop\", \"skip\""]);
    }

    #[test]
    fn the_public_names_are_aliases_that_assignments_replace() {
        let set = ["twinflow.consistc_ratio=0.5".to_owned(), "sample.stochastic_ratio=0.8".to_owned()];
        let text = "[twinflow]\nconsistency_ratio = 1.0\n[sample]\nstochast_ratio = 0.1\n";
        let config = Config::from_text("c.toml", text, &set).unwrap();
        assert_eq!((config.twinflow.consistency_ratio, config.sample.stochastic_ratio), (0.5, 0.8));
    }

    #[test]
    fn the_configs_that_come_with_the_program_load() {
        for file in ["quickstart", "fashion-mnist", "toy"] {
            let path = format!("{}/../configs/{file}.toml", env!("CARGO_MANIFEST_DIR"));
            let config = Config::from_file(Path::new(&path), &[]).unwrap();
            assert_eq!(config.run.name, file);
        }
    }

    #[test]
    fn a_batch_too_small_for_its_parts_is_refused() {
        let set = ["train.batch_size=2".to_owned()];
        let mut config = Config::from_text("c.toml", "[model]\nkind = \"mlp\"\n", &set).unwrap();
        (config.data.height, config.data.width, config.data.channels) = (1, 1, 2);
        let message = config.trainer(1).err().unwrap().to_string();
        assert!(message.starts_with("train.batch_size = 2 is too small"), "{message}");
        config.train.batch_size = 8;
        let message = config.trainer(4).err().unwrap().to_string();
        assert!(message.contains("cannot be dealt out equally to 4"), "{message}");
    }

    #[test]
    fn assignments_win_and_the_resolved_config_says_the_same() {
        let set = ["run.seed=7".to_owned(), "data.kind=toy".to_owned(), "run.name=two words".to_owned()];
        let config = Config::from_text("c.toml", "[run]\nseed = 3\n", &set).unwrap();
        assert_eq!((config.run.seed, config.data.kind, config.run.name.as_str()), (7, DataKind::Toy, "two words"));
        assert_eq!(Config::from_text("config.toml", &config.to_toml(), &[]).unwrap(), config);
    }
}
