//! The settings of a run: a section per subject, composed from the crates that own them.

mod culprit;
mod error;
mod load;
mod source;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::ConfigArgs;
use twinflow_data::ToyKind;
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
        check(&out, &["unknown key 'device.platfrom'", "did you mean 'platform'?", "memory_fraction", "c.toml", "line 4"]);
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
    fn assignments_win_and_the_resolved_config_says_the_same() {
        let set = ["run.seed=7".to_owned(), "data.kind=toy".to_owned(), "run.name=two words".to_owned()];
        let config = Config::from_text("c.toml", "[run]\nseed = 3\n", &set).unwrap();
        assert_eq!((config.run.seed, config.data.kind, config.run.name.as_str()), (7, DataKind::Toy, "two words"));
        assert_eq!(Config::from_text("config.toml", &config.to_toml(), &[]).unwrap(), config);
    }
}
