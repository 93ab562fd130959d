//! Where plugins lie.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::PjrtError;

/// The environment variable that names a plugin's file.
pub const PLUGIN_VARIABLE: &str = "TWINFLOW_PJRT_PLUGIN";

/// The kind of device that a plugin serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Platform {
    /// The host's processors.
    Cpu,
    /// NVIDIA GPUs.
    Cuda,
}

impl Platform {
    /// The name in configs and messages: `cpu`, `cuda`.
    pub const fn name(self) -> &'static str {
        match self {
            Platform::Cpu => "cpu",
            Platform::Cuda => "cuda",
        }
    }

    /// Whether a client's platform name (XLA says `cpu`, `cuda` or, in older plugins, `gpu`) means this platform.
    pub(crate) fn is_named(self, name: &str) -> bool {
        match self {
            Platform::Cpu => name == "cpu",
            Platform::Cuda => name == "cuda" || name == "gpu",
        }
    }

    /// The plugin's file below a folder of Python packages, as the wheels `xla-cpu-pjrt` and `jax-cuda13-pjrt` put it.
    fn file_in_packages(self) -> &'static str {
        match self {
            Platform::Cpu => "xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so",
            Platform::Cuda => "jax_plugins/xla_cuda13/xla_cuda_plugin.so",
        }
    }

    /// The plugin's file below a folder of plugins: its package's folder and the file.
    fn file_in_plugins(self) -> &'static str {
        self.file_in_packages().split_once('/').expect("the package lies in a folder").1
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown platform '{0}' (known: cpu, cuda)")]
pub struct UnknownPlatform(pub String);

impl FromStr for Platform {
    type Err = UnknownPlatform;

    fn from_str(text: &str) -> Result<Self, UnknownPlatform> {
        [Platform::Cpu, Platform::Cuda]
            .into_iter()
            .find(|platform| platform.name() == text)
            .ok_or_else(|| UnknownPlatform(text.to_owned()))
    }
}

/// The plugin's file: `explicit`, else the one that [`PLUGIN_VARIABLE`] names, else the first in the known places.
pub(crate) fn find(platform: Platform, explicit: Option<&Path>) -> Result<PathBuf, PjrtError> {
    if let Some(path) = explicit {
        return named(path.to_owned(), "the settings");
    }
    if let Some(path) = variable(PLUGIN_VARIABLE) {
        return named(path, PLUGIN_VARIABLE);
    }
    find_in(platform, &Surroundings::of_process())
}

fn find_in(platform: Platform, surroundings: &Surroundings) -> Result<PathBuf, PjrtError> {
    let looked = candidates(platform, surroundings);
    match looked.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => Err(PjrtError::PluginNotFound { platform, looked }),
    }
}

fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn named(path: PathBuf, origin: &'static str) -> Result<PathBuf, PjrtError> {
    if path.is_file() { Ok(path) } else { Err(PjrtError::NamedPluginMissing { path, origin }) }
}

/// What the known places depend on.
struct Surroundings {
    /// The executable's folder and the current one: their ancestors may hold `.plugins/`.
    folders: Vec<PathBuf>,
    /// Active Python environments.
    python: Vec<PathBuf>,
    /// The user's data folder.
    data: Option<PathBuf>,
}

impl Surroundings {
    fn of_process() -> Self {
        let executable = env::current_exe().ok().and_then(|file| file.parent().map(Path::to_owned));
        Surroundings {
            folders: executable.into_iter().chain(env::current_dir()).collect(),
            python: ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(variable).collect(),
            data: variable("XDG_DATA_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/share"))),
        }
    }
}

/// Every file to look for, in order, without repetition.
fn candidates(platform: Platform, surroundings: &Surroundings) -> Vec<PathBuf> {
    let project = surroundings.folders.iter().flat_map(|folder| folder.ancestors()).map(|up| up.join(".plugins"));
    let data = surroundings.data.iter().map(|data| data.join("twinflow-xla/plugins"));
    let in_project = project.map(|plugins| plugins.join(platform.file_in_plugins()));
    let in_python = surroundings.python.iter().flat_map(|root| site_packages(root));
    let in_python = in_python.map(|packages| packages.join(platform.file_in_packages()));
    let in_data = data.map(|plugins| plugins.join(platform.file_in_plugins()));

    let mut files: Vec<PathBuf> = Vec::new();
    for file in in_project.chain(in_python).chain(in_data) {
        if !files.contains(&file) {
            files.push(file);
        }
    }
    files
}

/// `lib/python3*/site-packages` of an environment, in order; the pattern itself where nothing matches.
fn site_packages(environment: &Path) -> Vec<PathBuf> {
    let lib = environment.join("lib");
    let mut found: Vec<PathBuf> = fs::read_dir(&lib)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("python3"))
        .map(|entry| entry.path().join("site-packages"))
        .collect();
    found.sort();
    if found.is_empty() {
        found.push(lib.join("python3*/site-packages"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_searched_in_order_and_named_when_all_are_empty() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        let surroundings = Surroundings {
            folders: vec![at("project/target/debug"), at("project")],
            python: vec![at("venv")],
            data: Some(at("data")),
        };
        let put = |path: &str| {
            fs::create_dir_all(at(path).parent().unwrap()).unwrap();
            fs::write(at(path), "").unwrap();
        };

        let message = find_in(Platform::Cpu, &surroundings).unwrap_err().to_string();
        assert!(message.contains("no PJRT plugin for cpu found"), "{message}");
        assert!(message.contains("make plugin") && message.contains(PLUGIN_VARIABLE), "{message}");
        for place in [
            "project/.plugins/xla_cpu_pjrt/xla_cpu_pjrt.so",
            "venv/lib/python3*/site-packages/xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so",
            "data/twinflow-xla/plugins/xla_cpu_pjrt/xla_cpu_pjrt.so",
        ] {
            assert_eq!(message.matches(at(place).to_str().unwrap()).count(), 1, "{message}");
        }

        for place in [
            "data/twinflow-xla/plugins/xla_cuda13/xla_cuda_plugin.so",
            "venv/lib/python3.12/site-packages/jax_plugins/xla_cuda13/xla_cuda_plugin.so",
            "project/.plugins/xla_cuda13/xla_cuda_plugin.so",
        ] {
            put(place);
            assert_eq!(find_in(Platform::Cuda, &surroundings).unwrap(), at(place));
        }
    }
}
