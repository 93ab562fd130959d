//! The settings of a run: a section per subject, composed from the crates that own them.

mod data_source;
mod deserialize;
mod diagnose;
mod error;
mod load;
mod precision;
mod resolved;
mod sections;
mod source;
mod table;
mod train;

use std::path::Path;

use serde::{Deserialize, Serialize};
use twinflow_methods::{MethodsConfig, flow::SampleConfig, flow_matching::FlowConfig, twinflow::TwinFlowConfig};
use twinflow_models::{denoisers::ModelConfig, encoders::TextEncoderConfig};
use twinflow_nn::ConfigError;
use twinflow_runtime::DeviceConfig;
use twinflow_training::optim::OptimizerConfig;

pub use data_source::open_data;
pub use deserialize::{named, names};
use error::Problem;
pub use error::SettingError;
pub use precision::PrecisionSetting;
pub use resolved::ResolvedConfig;
pub use sections::{DataConfig, DataKind, RunConfig};
pub use source::Source;
pub use train::{NonFinite, TrainConfig};

/// The quickstart's settings, used where no file is named.
const QUICKSTART: &str = include_str!("../../../configs/quickstart.toml");

/// All settings. Unknown keys are errors; every key has a default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub run: RunConfig,
    pub device: DeviceConfig,
    pub data: DataConfig,
    pub model: ModelConfig,
    /// What reads prompts that the data hold as tokens.
    pub text_encoder: TextEncoderConfig,
    /// The flow-matching phase, which comes first.
    pub flow: FlowConfig,
    pub twinflow: TwinFlowConfig,
    pub optimizer: OptimizerConfig,
    pub train: TrainConfig,
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
    /// The quickstart's config with `--set` assignments on top.
    ///
    /// # Errors
    /// See [`SettingError`].
    pub fn quickstart(assignments: &[String]) -> Result<Self, SettingError> {
        Self::from_text("quickstart.toml (built in)", QUICKSTART, assignments)
    }

    /// The config of a file with `--set` assignments on top.
    ///
    /// # Errors
    /// See [`SettingError`].
    pub fn from_file(path: &Path, assignments: &[String]) -> Result<Self, SettingError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let problem = Problem::Unreadable { path: path.display().to_string(), reason: error.to_string() };
            SettingError::nowhere(problem)
        })?;
        Self::from_text(&path.display().to_string(), &text, assignments)
    }

    /// The config of a text with `--set` assignments on top; `name` stands in messages.
    ///
    /// # Errors
    /// See [`SettingError`].
    pub fn from_text(name: &str, text: &str, assignments: &[String]) -> Result<Self, SettingError> {
        load::load(Source::toml(name, text), assignments)
    }

    /// The whole config as TOML, defaults included.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("every setting has a TOML form")
    }

    /// The sections of the methods.
    fn methods(&self) -> MethodsConfig {
        MethodsConfig { flow: self.flow.clone(), twinflow: self.twinflow.clone() }
    }

    /// A refusal by the crate that owns the setting, shown where the setting is written.
    pub(super) fn refused(&self, error: &ConfigError) -> SettingError {
        let key = match error {
            ConfigError::Value { key, .. }
            | ConfigError::NotMultiple { key, .. }
            | ConfigError::NoMatch { key, .. } => key,
            ConfigError::Conflict { second, .. } => second,
            ConfigError::OneShape => "model.kind",
            ConfigError::BatchTooSmall { .. } | ConfigError::PartNotDivisible { .. } => "train.batch_size",
        };
        let problem = Problem::Unfit { reason: error.to_string() };
        SettingError::with_key(problem, key, &self.origins.0)
    }

    /// Refuses values that fit their type but make no sense.
    fn validate(&self) -> Result<(), SettingError> {
        self.validate_own().map_err(|(key, reason)| {
            let problem = Problem::Refused { key: key.to_owned(), reason: reason.to_owned() };
            SettingError::with_key(problem, key, &self.origins.0)
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
