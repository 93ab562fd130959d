//! The XLA devices that this process computes on.

use std::{
    env,
    path::{Path, PathBuf},
};

use miette::{Result, miette};
use twinflow_array::{TensorType, Tree};
use twinflow_compiler::{
    Cache, Jit, JitError, Traced,
    pjrt::{Client, ClientOptions, CompileOptions, Device, PjrtError, Platform, Plugin},
    stablehlo::Products,
};

use crate::{DeviceConfig, PlatformChoice, console::OrReport};

/// A client of a PJRT plugin and how to compile for it.
pub struct Devices {
    client: Client,
    optimization_level: i64,
    cache: Cache,
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
        let client = Client::new(&plugin, &options).or_report()?;
        let found = client.devices().len();
        if found < config.devices {
            return Err(miette!(
                help = "lower device.devices, or start fewer processes per machine",
                "process {local_rank} of this machine wants {} devices but finds {found}",
                config.devices
            ));
        }
        Ok(Devices { client, optimization_level: config.optimization_level, cache: cache(config) })
    }

    /// Opens one device, for work that is not shared.
    ///
    /// # Errors
    /// As [`Devices::open`].
    pub fn open_one(config: &DeviceConfig) -> Result<Self> {
        Self::open(&DeviceConfig { devices: 1, ..config.clone() }, 0)
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn all(&self) -> &[Device] {
        self.client.devices()
    }

    /// How they make products.
    pub fn products(&self) -> Products {
        Products::of(&self.client)
    }

    /// The most memory that was in use on one of them, in bytes; `None` where the plugin keeps no count (CPU).
    pub fn peak_memory(&self) -> Option<u64> {
        self.all().iter().filter_map(|device| device.memory()?.peak).max()
    }

    /// Compiles a program for `replicas` devices at once, or loads it from the cache of compiled programs.
    ///
    /// # Errors
    /// The plugin's.
    pub fn compile<D, K, O>(&self, traced: Traced<D, K, O>, replicas: usize) -> Result<Jit<D, K, O>, JitError>
    where
        D: Tree<Leaf = TensorType>,
        K: Tree<Leaf = TensorType>,
        O: Tree<Leaf = TensorType>,
    {
        traced.compile_cached(&self.client, &self.compile_options(replicas), &self.cache)
    }

    /// Compiled programs on disk.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// How to compile a program that runs on `replicas` devices at once.
    pub fn compile_options(&self, replicas: usize) -> CompileOptions {
        compile_options(self.optimization_level, replicas)
    }
}

/// How to compile at XLA's optimisation level (-1: the plugin's own) for `replicas` devices at once.
pub fn compile_options(optimization_level: i64, replicas: usize) -> CompileOptions {
    let options = CompileOptions { replicas, ..CompileOptions::default() };
    match optimization_level {
        -1 => options,
        level => options.with_override("xla_backend_optimization_level", level),
    }
}

/// The plugin for the platform; `auto` takes a GPU's if it is installed and finds one.
///
/// # Errors
/// None is found, or it cannot be used.
pub fn plugin(config: &DeviceConfig) -> Result<Plugin> {
    let discover = |platform| Plugin::discover(platform, named_plugin(config));
    let found = match config.platform {
        PlatformChoice::Cpu => discover(Platform::Cpu),
        PlatformChoice::Cuda => discover(Platform::Cuda),
        // Without a GPU a plugin for it may be there to compile only; it is not even opened.
        PlatformChoice::Auto => match has_gpu().then(|| discover(Platform::Cuda)) {
            Some(Ok(plugin)) => Ok(plugin),
            None | Some(Err(PjrtError::PluginNotFound { .. })) => discover(Platform::Cpu),
            Some(Err(error)) => Err(error),
        },
    };
    found.or_report()
}

/// The plugin's file, if the settings name one.
pub fn named_plugin(config: &DeviceConfig) -> Option<&Path> {
    Some(config.plugin.as_path()).filter(|path| *path != Path::new(""))
}

/// Bytes of a line of /proc/meminfo (`MemTotal`), where there is one.
pub fn host_memory(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(1024 * kibibytes)
}

/// The cache of compiled programs that the settings ask for.
pub fn cache(config: &DeviceConfig) -> Cache {
    let folder = match config.cache_dir.as_str() {
        "" => None,
        "auto" => user_cache_folder(|name| env::var_os(name).map(PathBuf::from)),
        folder => Some(PathBuf::from(folder)),
    };
    let most_bytes = (config.cache_size_gib * f64::from(1 << 30)) as u64;
    folder.map_or_else(Cache::off, |folder| Cache::at(folder, most_bytes))
}

/// `$XDG_CACHE_HOME/twinflow-xla`, which is below `~/.cache` where the variable is not set; relative values do not
/// count (XDG Base Directory Specification).
fn user_cache_folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |name| variable(name).filter(|path| path.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    Some(caches?.join("twinflow-xla"))
}

/// Whether NVIDIA's driver shows a GPU.
pub fn has_gpu() -> bool {
    std::fs::read_dir("/proc/driver/nvidia/gpus").is_ok_and(|mut gpus| gpus.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_kept_where_the_user_keeps_caches() {
        let folder = |cache: Option<&str>, home: Option<&str>| {
            let value = |name: &str| if name == "HOME" { home } else { cache }.map(PathBuf::from);
            user_cache_folder(value)
        };
        assert_eq!(folder(Some("/fast"), Some("/home/a")), Some("/fast/twinflow-xla".into()));
        assert_eq!(folder(Some("relative"), Some("/home/a")), Some("/home/a/.cache/twinflow-xla".into()));
        assert_eq!(folder(None, None), None);
        let named = |cache_dir: &str| {
            let config = DeviceConfig { cache_dir: cache_dir.into(), ..DeviceConfig::default() };
            cache(&config).folder().map(Path::to_owned)
        };
        assert_eq!((named(""), named("here")), (None, Some("here".into())));
    }
}
