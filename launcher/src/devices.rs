//! The XLA devices that this process computes on.

use std::path::Path;

use miette::{Result, miette};
use twinflow_compiler::pjrt::{Client, ClientOptions, CompileOptions, Device, PjrtError, Plugin};

use crate::config::{DeviceConfig, Platform};
use crate::said::Said;

/// A client of a PJRT plugin and how to compile for it.
pub struct Devices {
    client: Client,
    optimization_level: i64,
}

impl Devices {
    /// Opens the devices of this process, which is number `local_rank` on its machine.
    ///
    /// # Errors
    /// No plugin, an unusable plugin, or fewer devices than asked for.
    pub fn open(config: &DeviceConfig, local_rank: usize) -> Result<Self> {
        let plugin = plugin(config)?;
        let first = local_rank * config.devices;
        let ordinals = (first..first + config.devices).map(|ordinal| ordinal as i64);
        let options = ClientOptions {
            cpu_device_count: Some(config.devices),
            memory_fraction: Some(config.memory_fraction),
            visible_devices: Some(ordinals.collect()),
            ..ClientOptions::default()
        };
        let client = Client::new(&plugin, &options).said()?;
        let found = client.devices().len();
        if found < config.devices {
            return Err(miette!(
                help = "lower device.devices, or start fewer processes per machine",
                "process {local_rank} of this machine wants {} devices but finds {found}",
                config.devices
            ));
        }
        Ok(Devices { client, optimization_level: config.optimization_level })
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The devices.
    pub fn all(&self) -> &[Device] {
        self.client.devices()
    }

    /// How to compile a program that runs on `replicas` devices at once.
    pub fn compile_options(&self, replicas: usize) -> CompileOptions {
        let options = CompileOptions { replicas, ..CompileOptions::default() };
        match self.optimization_level {
            -1 => options,
            level => options.with_override("xla_backend_optimization_level", level),
        }
    }
}

/// The plugin for the platform; `auto` takes a GPU's if it is installed and finds one.
///
/// # Errors
/// None is found, or it cannot be used.
pub fn plugin(config: &DeviceConfig) -> Result<Plugin> {
    let explicit = Some(config.plugin.as_path()).filter(|path| *path != Path::new(""));
    let discover = |platform| Plugin::discover(platform, explicit);
    let found = match config.platform {
        Platform::Cpu => discover(twinflow_compiler::pjrt::Platform::Cpu),
        Platform::Cuda => discover(twinflow_compiler::pjrt::Platform::Cuda),
        Platform::Auto => match discover(twinflow_compiler::pjrt::Platform::Cuda) {
            Ok(plugin) if has_gpu() => Ok(plugin),
            Ok(_) | Err(PjrtError::PluginNotFound { .. }) => discover(twinflow_compiler::pjrt::Platform::Cpu),
            Err(error) => Err(error),
        },
    };
    found.said()
}

/// Whether NVIDIA's driver shows a GPU.
pub fn has_gpu() -> bool {
    std::fs::read_dir("/proc/driver/nvidia/gpus").is_ok_and(|mut gpus| gpus.next().is_some())
}
