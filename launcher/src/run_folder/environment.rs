//! environment.jsonl: where, with what and by which command each part of a run was computed.

use std::{fs::OpenOptions, io::Write, path::Path, thread::available_parallelism};

use serde::{Deserialize, Serialize};
use twinflow_checkpoints::Metadata;
use twinflow_runtime::{
    devices::Devices,
    world::{self, World},
};

use super::{FileError, cannot, host};

/// What one start of a run found, on rank 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Environment {
    /// When, in seconds since 1970 (UTC).
    pub started: u64,
    pub after_step: u64,
    pub command: String,
    pub program: String,
    pub host: String,
    pub processor: String,
    /// Cores that this process may use.
    pub cores: usize,
    pub ranks: usize,
    /// Cores that each of them may use.
    pub rank_cores: Vec<usize>,
    pub mpi: Option<String>,
    pub hdf5: String,
    /// XLA plugin's file and the version of its C API.
    pub plugin: String,
    /// What the plugin says of its version.
    pub xla: String,
    pub devices: Vec<String>,
}

impl Environment {
    /// What is here now. All ranks must call this at the same point.
    pub fn find(world: &World, devices: &Devices, after_step: u64) -> Self {
        let plugin = devices.client().plugin();
        let (major, minor) = plugin.api_version();
        let (hdf5_major, hdf5_minor, hdf5_patch) = twinflow_data::hdf5_version();
        let version = plugin.attributes().unwrap_or_default().remove("xla_version");
        let platform = devices.client().platform_version().unwrap_or_default();
        let xla = version.map_or(platform.clone(), |version| format!("version {version}, {platform}"));
        Environment {
            started: Metadata::now(),
            after_step,
            command: std::env::args().map(|argument| quoted(&argument)).collect::<Vec<_>>().join(" "),
            program: format!("twinflow-xla {}", env!("CARGO_PKG_VERSION")),
            host: host(),
            processor: processor(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
            cores: cores(),
            ranks: world.size(),
            rank_cores: gather(world, cores()),
            mpi: world::mpi_library(),
            hdf5: format!("{hdf5_major}.{hdf5_minor}.{hdf5_patch}"),
            plugin: format!("{} (C API {major}.{minor})", plugin.path().display()),
            xla,
            devices: devices.all().iter().map(|device| format!("{} {}", device.id(), device.kind())).collect(),
        }
    }

    /// Adds it to a file, as one line.
    ///
    /// # Errors
    /// The system's.
    pub fn append(&self, path: &Path) -> Result<(), FileError> {
        let line = serde_json::to_string(self).expect("plain fields have a JSON form") + "\n";
        let mut options = OpenOptions::new();
        let opened = options.create(true).append(true).open(path);
        let written = opened.and_then(|mut file| file.write_all(line.as_bytes()));
        written.map_err(cannot("write", path))
    }

    /// What a file holds, a start per element; nothing if there is no file.
    pub fn read(path: &Path) -> Vec<Self> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

fn cores() -> usize {
    available_parallelism().map_or(0, usize::from)
}

/// Each rank's number, on every rank.
fn gather(world: &World, own: usize) -> Vec<usize> {
    let of = |rank| if rank == world.rank() { own as u32 } else { 0 };
    (0..world.size()).map(|rank| world.all_reduce_max(of(rank)) as usize).collect()
}

/// An argument as a shell takes it.
fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=,:+@%".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

/// The first processor's name, as the kernel says it; x86 has one.
fn processor(cpuinfo: &str) -> String {
    let name = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_can_be_pasted() {
        assert_eq!(["train", "a b", "it's", ""].map(quoted), ["train", "'a b'", r"'it'\''s'", "''"]);
    }

    #[test]
    fn starts_are_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("environment.jsonl");
        let first = Environment { host: "a".into(), cores: 2, ..Environment::default() };
        let second = Environment { after_step: 6, ..first.clone() };
        first.append(&path).unwrap();
        second.append(&path).unwrap();
        assert_eq!(Environment::read(&path), [first, second]);
        assert_eq!(Environment::read(&folder.path().join("none")), []);
    }
}
