//! The launcher's own sections: `[run]`, `[device]`, `[data]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use twinflow_array::DType;
use twinflow_data::ToyKind;

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
    /// Where compiled programs are kept: a folder, `auto` (the user's cache folder), or nothing for nowhere.
    pub cache_dir: String,
    /// How large that folder may become, in GiB.
    pub cache_size_gib: f64,
}

impl Default for DeviceConfig {
    fn default() -> Self {
        DeviceConfig {
            platform: Platform::Auto,
            plugin: PathBuf::new(),
            devices: 1,
            memory_fraction: 0.9,
            optimization_level: -1,
            cache_dir: "auto".into(),
            cache_size_gib: 2.0,
        }
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
    /// 1 (gray), 3 (RGB), or those of latents; as above.
    pub channels: usize,
    /// Number of classes; as above.
    pub classes: usize,
    /// Mirror pictures left to right at random.
    pub flip: bool,
    /// Check the file's checksums before training.
    pub verify: bool,
    /// Element type of pictures on their way to the device; the dataset's own.
    #[serde(skip)]
    pub sample_dtype: DType,
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
            sample_dtype: DType::F32,
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
