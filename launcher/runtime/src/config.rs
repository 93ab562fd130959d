//! `[device]`: what is computed with.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[device]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceConfig {
    /// Which kind of device.
    pub platform: PlatformChoice,
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
            platform: PlatformChoice::Auto,
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
pub enum PlatformChoice {
    /// A GPU if there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// NVIDIA GPUs.
    Cuda,
}
