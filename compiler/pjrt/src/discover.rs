//! Where plugins lie.

use std::{
    collections::HashSet,
    env,
    ffi::OsStr,
    fmt, fs,
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

    /// The command that installs a plugin into `.plugins/`.
    pub(crate) const fn make_target(self) -> &'static str {
        match self {
            Platform::Cpu => "make plugin",
            Platform::Cuda => "make cuda-compiler",
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
pub(crate) struct Surroundings {
    /// Active Python environments, then those whose `python3` is on the search path.
    pub python: Vec<PathBuf>,
    /// The executable's folder and the current one: their ancestors may hold `.plugins/`.
    pub folders: Vec<PathBuf>,
    /// The user's data folder.
    pub data: Option<PathBuf>,
}

impl Surroundings {
    pub(crate) fn of_process() -> Self {
        let executable = env::current_exe().ok().and_then(|file| file.parent().map(Path::to_owned));
        let active = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(variable);
        let path = env::var_os("PATH").unwrap_or_default();
        Surroundings {
            python: active.chain(pythons_on(&path)).collect(),
            folders: executable.into_iter().chain(env::current_dir()).collect(),
            data: variable("XDG_DATA_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/share"))),
        }
    }

    /// Folders that hold Python packages.
    pub(crate) fn packages(&self) -> impl Iterator<Item = PathBuf> {
        self.python.iter().flat_map(|root| package_folders(root))
    }

    /// Folders that hold plugins, each in a folder of its own.
    pub(crate) fn plugins(&self) -> impl Iterator<Item = PathBuf> {
        let project = self.folders.iter().flat_map(|folder| folder.ancestors()).map(|up| up.join(".plugins"));
        project.chain(self.data.iter().map(|data| data.join("twinflow-xla/plugins")))
    }
}

/// Every file to look for, in order, without repetition. Python's come first: NVIDIA's libraries lie beside a plugin there.
fn candidates(platform: Platform, surroundings: &Surroundings) -> Vec<PathBuf> {
    let in_python = surroundings.packages().map(|packages| packages.join(platform.file_in_packages()));
    let in_plugins = surroundings.plugins().map(|plugins| plugins.join(platform.file_in_plugins()));
    unique(in_python.chain(in_plugins))
}

pub(crate) fn unique(paths: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut seen = HashSet::new();
    paths.filter(|path| seen.insert(path.clone())).collect()
}

/// The roots of a search path's folders that hold `python3`.
fn pythons_on(path: &OsStr) -> Vec<PathBuf> {
    let bins = env::split_paths(path).filter(|folder| folder.join("python3").is_file());
    bins.filter_map(|bin| bin.parent().map(Path::to_owned)).collect()
}

/// `lib/python3*/site-packages` and `dist-packages` (Debian) of an environment, in order; the pattern itself where
/// nothing matches.
fn package_folders(environment: &Path) -> Vec<PathBuf> {
    let lib = environment.join("lib");
    let mut pythons: Vec<PathBuf> = fs::read_dir(&lib)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("python3"))
        .map(|entry| entry.path())
        .collect();
    pythons.sort();
    let both = pythons.iter().flat_map(|python| ["site-packages", "dist-packages"].map(|name| python.join(name)));
    let found: Vec<PathBuf> = both.filter(|folder| folder.is_dir()).collect();
    if found.is_empty() { vec![lib.join("python3*/site-packages")] } else { found }
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
            "project/.plugins/xla_cuda13/xla_cuda_plugin.so",
            "venv/lib/python3.12/dist-packages/jax_plugins/xla_cuda13/xla_cuda_plugin.so",
            "venv/lib/python3.12/site-packages/jax_plugins/xla_cuda13/xla_cuda_plugin.so",
        ] {
            put(place);
            assert_eq!(find_in(Platform::Cuda, &surroundings).unwrap(), at(place));
        }
    }

    #[test]
    fn pythons_on_the_search_path_count() {
        let root = tempfile::tempdir().unwrap();
        let bin = |name: &str| root.path().join(name).join("bin");
        fs::create_dir_all(bin("none")).unwrap();
        for environment in ["first", "second"] {
            fs::create_dir_all(bin(environment)).unwrap();
            fs::write(bin(environment).join("python3"), "").unwrap();
        }
        let path = env::join_paths(["none", "first", "second"].map(bin)).unwrap();
        assert_eq!(pythons_on(&path), ["first", "second"].map(|environment| root.path().join(environment)));
    }
}
