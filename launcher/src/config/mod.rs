//! The settings of a run: a section per subject, composed from the crates that own them.

mod culprit;
mod error;
mod load;
mod source;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::ConfigArgs;
pub use error::{ConfigError, Problem};
pub use source::Source;

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
    /// Picture height in pixels, for `kind = "synthetic"`.
    pub height: usize,
    /// Picture width in pixels, for `kind = "synthetic"`.
    pub width: usize,
    /// 1 (gray) or 3 (RGB), for `kind = "synthetic"`.
    pub channels: usize,
    /// Number of classes, for `kind = "synthetic"`.
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

/// Sets of points in the plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToyKind {
    /// Two interleaved half circles.
    Moons,
    /// Every other square of a board.
    Checkerboard,
    /// Two spiral arms.
    Spiral,
    /// Gaussians on a circle.
    Gaussians,
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

    /// Refuses values that fit their type but make no sense; gives the key and the reason.
    fn validate(&self) -> Result<(), (String, String)> {
        let refuse = |key: &str, reason: &str| Err((key.to_owned(), reason.to_owned()));
        if self.run.name.is_empty() || self.run.name.contains(['/', '\\']) {
            return refuse("run.name", "must be a plain name: it becomes a folder below runs/");
        }
        if self.device.devices == 0 {
            return refuse("device.devices", "at least one device per process is needed");
        }
        if !(self.device.memory_fraction > 0.0 && self.device.memory_fraction <= 1.0) {
            return refuse("device.memory_fraction", "must lie above 0 and up to 1");
        }
        if self.data.kind == DataKind::Synthetic && ![1, 3].contains(&self.data.channels) {
            return refuse("data.channels", "must be 1 (gray) or 3 (RGB)");
        }
        Ok(())
    }
}
