//! What a compiled program depends on, as one hash.

use std::{env, fmt, fs, thread::available_parallelism, time::UNIX_EPOCH};

use twinflow_pjrt::{Client, CompileOptions, Device, Plugin};

/// The lines of /proc/cpuinfo that say what XLA generates code for: features, and the model it schedules for.
const CPU_FIELDS: [&str; 10] = [
    "vendor_id",
    "cpu family",
    "model",
    "model name",
    "flags",
    "CPU implementer",
    "CPU architecture",
    "CPU variant",
    "CPU part",
    "Features",
];

/// Attributes of a device that its code depends on; others name the one card and would part equal ones.
const DEVICE_ATTRIBUTES: [&str; 2] = ["compute_capability", "core_count"];

/// A hash of all that a program's code depends on.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(blake3::Hash);

impl Key {
    /// The key of a program; `None` if the plugin's file cannot be looked at, for then nothing tells plugins apart.
    pub fn new(client: &Client, stablehlo: &str, options: &CompileOptions) -> Option<Self> {
        let mut fields = Fields(blake3::Hasher::new());
        fields.add("stablehlo", stablehlo.as_bytes());
        fields.add("options", &options.encode());
        fields.add("XLA_FLAGS", xla_flags().as_bytes());
        fields.add("plugin", plugin(client.plugin())?.as_bytes());
        fields.add("platform", format!("{:?}", client.platform_version().ok()).as_bytes());
        for device in client.devices() {
            fields.add("device", describe(device).as_bytes());
        }
        fields.add("job", format!("{:?}", client.global_device_count().ok()).as_bytes());
        // XLA:CPU decides when compiling into how many parts it cuts a loop.
        fields.add("threads", format!("{:?}", available_parallelism().ok()).as_bytes());
        fields.add("cpu", cpu(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()).as_bytes());
        Some(Key(fields.0.finalize()))
    }

    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    #[cfg(test)]
    pub fn of_text(text: &str) -> Self {
        Key(blake3::hash(text.as_bytes()))
    }
}

impl fmt::Display for Key {
    /// As a file name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.to_hex())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// Hashes named fields; the lengths keep neighbours apart.
struct Fields(blake3::Hasher);

impl Fields {
    fn add(&mut self, name: &str, value: &[u8]) {
        for part in [name.as_bytes(), value] {
            self.0.update(&(part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
    }
}

/// XLA's flags; a value that is no flag names a file of them.
fn xla_flags() -> String {
    let flags = env::var_os("XLA_FLAGS").map_or(String::new(), |flags| flags.to_string_lossy().into_owned());
    let in_file = if flags.starts_with('-') { None } else { fs::read_to_string(flags.trim()).ok() };
    format!("{flags}\n{}", in_file.unwrap_or_default())
}

/// Size and time stand for the file's content, which takes longer to hash (250 MB) than a program to load.
fn plugin(plugin: &Plugin) -> Option<String> {
    let file = fs::metadata(plugin.path()).ok()?;
    let changed = file.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    let (version, attributes) = (plugin.api_version(), plugin.attributes().unwrap_or_default());
    Some(format!("{version:?} {attributes:?} {} bytes of {} ns", file.len(), changed.as_nanos()))
}

fn describe(device: &Device) -> String {
    let attributes = DEVICE_ATTRIBUTES.map(|name| device.attributes().get(name));
    format!("{} {} {} {attributes:?}", device.id(), device.process_index(), device.kind())
}

/// What the first processor says of itself, on this architecture.
fn cpu(cpuinfo: &str) -> String {
    let first = cpuinfo.split("\n\n").next().unwrap_or_default();
    let telling = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default().trim();
        CPU_FIELDS.contains(&name)
    };
    let lines: Vec<&str> = first.lines().filter(telling).collect();
    format!("{}\n{}", env::consts::ARCH, lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_told_apart_by_model_and_features_alone() {
        let info = |mhz: &str, flags: &str| {
            let block = format!("processor\t: 0\nmodel name\t: EPYC\ncpu MHz\t\t: {mhz}\nflags\t\t: {flags}\n");
            format!("{block}\n{}", block.replace("processor\t: 0", "processor\t: 1"))
        };
        assert_eq!(cpu(&info("2596.1", "sse avx")), cpu(&info("3100.0", "sse avx")));
        assert_ne!(cpu(&info("2596.1", "sse avx")), cpu(&info("2596.1", "sse avx avx512f")));
        assert!(cpu(&info("1", "sse")).ends_with("model name\t: EPYC\nflags\t\t: sse"));
    }

    #[test]
    fn neighbouring_fields_do_not_run_together() {
        let hash = |parts: [&str; 2]| {
            let mut fields = Fields(blake3::Hasher::new());
            parts.iter().for_each(|part| fields.add("field", part.as_bytes()));
            fields.0.finalize()
        };
        assert_ne!(hash(["ab", "c"]), hash(["a", "bc"]));
    }
}
