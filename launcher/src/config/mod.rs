//! The settings of a run: a section per subject, composed from the crates that own them.

mod culprit;
mod error;
mod load;
mod sections;
mod source;
mod train;

use std::path::Path;

use serde::{Deserialize, Serialize};

use twinflow_graphs::{
    flow::{FlowConfig, SampleConfig},
    models::ModelConfig,
    optim::OptimizerConfig,
    step::{StepConfig, Trainer},
    twinflow::TwinFlowConfig,
};

use crate::cli::ConfigArgs;
pub use error::{ConfigError, Problem};
pub use sections::{DataConfig, DataKind, DeviceConfig, Platform, RunConfig};
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
            sample_dtype: self.data.sample_dtype,
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
        let size = self.device.cache_size_gib;
        require(
            size > 0.0 && size.is_finite(),
            "device.cache_size_gib",
            "must be above 0; cache_dir=\"\" is no cache",
        )?;
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
mod tests;
