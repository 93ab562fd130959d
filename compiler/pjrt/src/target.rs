//! GPUs to compile for where there is none.

use std::{fs, path::Path};

use crate::{PjrtError, Plugin, Topology};

/// A kind of GPU: what XLA must know of it to compile for it (its `GpuTargetConfigProto`).
#[derive(Debug, Clone, PartialEq)]
pub struct GpuTarget {
    config: String,
    name: String,
    memory: u64,
    bandwidth: u64,
    bf16_rate: Option<f64>,
}

/// A known kind: its name, its proto as text, and its peak rate of dense bf16 products (FLOP/s, NVIDIA's data sheets).
struct Known {
    name: &'static str,
    config: &'static str,
    bf16_rate: f64,
}

const KNOWN: [Known; 4] = [
    Known { name: "a100", config: include_str!("../targets/a100.txtpb"), bf16_rate: 312e12 },
    Known { name: "h100", config: include_str!("../targets/h100.txtpb"), bf16_rate: 989e12 },
    Known { name: "h200", config: include_str!("../targets/h200.txtpb"), bf16_rate: 989e12 },
    Known { name: "b200", config: include_str!("../targets/b200.txtpb"), bf16_rate: 2250e12 },
];

impl GpuTarget {
    /// The names of the known kinds.
    pub fn known() -> impl Iterator<Item = &'static str> {
        KNOWN.iter().map(|known| known.name)
    }

    /// A known kind by its name, or else the one that a file describes: a `GpuTargetConfigProto` as text, which XLA
    /// writes of any GPU that it runs on (`*.gpu_target_config.pbtxt` in the folder of `--xla_dump_to`).
    ///
    /// # Errors
    /// [`PjrtError::UnknownTarget`], [`PjrtError::TargetFile`].
    pub fn find(name_or_file: &str) -> Result<Self, PjrtError> {
        if let Some(known) = KNOWN.iter().find(|known| known.name == name_or_file) {
            let target = Self::from_text(known.config).expect("the tests read every known kind");
            return Ok(GpuTarget { bf16_rate: Some(known.bf16_rate), ..target });
        }
        let path = Path::new(name_or_file);
        if !path.is_file() {
            let known = Self::known().collect::<Vec<_>>().join(", ");
            return Err(PjrtError::UnknownTarget { name: name_or_file.to_owned(), known });
        }
        let unfit = |reason: String| PjrtError::TargetFile { path: path.to_owned(), reason };
        let text = fs::read_to_string(path).map_err(|error| unfit(error.to_string()))?;
        Self::from_text(&text).map_err(|field| unfit(format!("it has no {field}")))
    }

    /// Reads the fields that this program needs itself; the plugin checks the whole.
    fn from_text(text: &str) -> Result<Self, &'static str> {
        let number = |name| field(text, name).and_then(|value| value.parse().ok()).ok_or(name);
        let (memory, bandwidth) = (number("device_memory_size")?, number("memory_bandwidth")?);
        let name = field(text, "device_description_str").unwrap_or("a GPU").to_owned();
        Ok(GpuTarget { config: text.to_owned(), name, memory, bandwidth, bf16_rate: None })
    }

    /// The product's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes of its memory.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// Bytes per second between it and its memory.
    pub fn bandwidth(&self) -> u64 {
        self.bandwidth
    }

    /// Peak rate of dense bf16 products with f32 sums in FLOP/s, if it is a known kind.
    pub fn bf16_rate(&self) -> Option<f64> {
        self.bf16_rate
    }

    /// One machine with so many of these GPUs, to compile for.
    ///
    /// # Errors
    /// The plugin's: it is none for CUDA, or rejects the description.
    pub fn topology(&self, plugin: &Plugin, devices: usize) -> Result<Topology, PjrtError> {
        let shape = format!("1x1x{devices}");
        let options = [("target_config", self.config.as_str()), ("topology", &shape)];
        Topology::create(plugin, &options.map(|(name, value)| (name.to_owned(), value.into())))
    }
}

/// The value of the first `name: value` in a text proto.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let value = lines
        .flat_map(|line| line.match_indices(name).map(move |(start, _)| line.split_at(start)))
        .filter(|(before, _)| before.chars().next_back().is_none_or(char::is_whitespace))
        .find_map(|(_, rest)| rest[name.len()..].trim_start().strip_prefix(':'))?
        .trim_start();
    match value.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => value.split([' ', '}']).next(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_kinds_hold_their_memory() {
        let gigabytes: Vec<u64> =
            GpuTarget::known().map(|name| GpuTarget::find(name).unwrap().memory() / 1_000_000_000).collect();
        assert_eq!(gigabytes, [85, 84, 151, 191]);
        let h200 = GpuTarget::find("h200").unwrap();
        assert_eq!((h200.name(), h200.bandwidth()), ("NVIDIA H200", 4_800_000_000_000));
    }

    #[test]
    fn a_file_describes_another_kind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.txtpb");
        let text = "gpu_device_info { xmemory_bandwidth: 7 memory_bandwidth: 1 device_memory_size: 5 }\n\
                    # device_description_str: \"no\"\ndevice_description_str: \"My GPU\" ";
        fs::write(&path, text).unwrap();
        let target = GpuTarget::find(path.to_str().unwrap()).unwrap();
        assert_eq!((target.name(), target.memory(), target.bandwidth()), ("My GPU", 5, 1));
        assert_eq!(target.bf16_rate(), None);

        fs::write(&path, "gpu_device_info { core_count: 1 }").unwrap();
        let message = GpuTarget::find(path.to_str().unwrap()).unwrap_err().to_string();
        assert!(message.contains("it has no device_memory_size"), "{message}");
        let message = GpuTarget::find("h300").unwrap_err().to_string();
        assert!(message.contains("'h300'") && message.contains("a100, h100, h200, b200"), "{message}");
    }
}
