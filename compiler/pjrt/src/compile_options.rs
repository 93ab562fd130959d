//! How to compile a program.

use prost::Message;

use crate::{OptionValue, compile_proto as proto};

/// How to compile a program.
#[derive(Debug, Clone, PartialEq)]
pub struct CompileOptions {
    /// Copies of the program that run together, each on its own data (`all_reduce` joins them).
    pub replicas: usize,
    /// Devices that share one copy's tensors (SPMD).
    pub partitions: usize,
    /// Whether XLA partitions the program by its sharding annotations; needed if `partitions` is above 1.
    pub use_spmd: bool,
    /// Whether those annotations are Shardy's (`sdy`), else GSPMD's.
    pub use_shardy: bool,
    /// The device to compile for; XLA's choice if not set.
    pub device_ordinal: Option<usize>,
    /// Device ids, `[replica][partition]`; the first devices in order if not set.
    pub device_assignment: Option<Vec<Vec<i64>>>,
    /// XLA's debug options by name (`xla_backend_optimization_level`), for this program only.
    pub overrides: Vec<(String, OptionValue)>,
}

impl Default for CompileOptions {
    /// One device, no overrides.
    fn default() -> Self {
        CompileOptions {
            replicas: 1,
            partitions: 1,
            use_spmd: false,
            use_shardy: false,
            device_ordinal: None,
            device_assignment: None,
            overrides: Vec::new(),
        }
    }
}

impl CompileOptions {
    /// The options with one more override.
    pub fn with_override(mut self, name: &str, value: impl Into<OptionValue>) -> Self {
        self.overrides.push((name.to_owned(), value.into()));
        self
    }

    /// The encoded `CompileOptionsProto` (xla/pjrt/proto/compile_options.proto), as plugins get it.
    pub fn encode(&self) -> Vec<u8> {
        let overrides = self.overrides.iter().map(|(name, value)| (name.clone(), override_value(value)));
        let build_options = proto::ExecutableBuildOptions {
            device_ordinal: self.device_ordinal.map_or(-1, |ordinal| ordinal as i64),
            num_replicas: self.replicas as i64,
            num_partitions: self.partitions as i64,
            use_spmd_partitioning: self.use_spmd,
            device_assignment: self.device_assignment.as_deref().map(assignment),
            use_shardy_partitioner: self.use_shardy,
        };
        proto::CompileOptions { build_options: Some(build_options), overrides: overrides.collect() }.encode_to_vec()
    }
}

/// XLA takes lists as text.
fn override_value(value: &OptionValue) -> proto::OptionOverride {
    let value = match value {
        OptionValue::String(_) | OptionValue::IntList(_) => proto::OverrideValue::String(value.to_string()),
        OptionValue::Bool(value) => proto::OverrideValue::Bool(*value),
        OptionValue::Int(value) => proto::OverrideValue::Int(*value),
        OptionValue::Float(value) => proto::OverrideValue::Double(*value),
    };
    proto::OptionOverride { value: Some(value) }
}

/// From `[replica][partition]`.
fn assignment(ids: &[Vec<i64>]) -> proto::DeviceAssignment {
    let partitions = ids.first().map_or(0, Vec::len);
    let of_partition = |partition: usize| proto::ComputationDevice {
        replica_device_ids: ids.iter().filter_map(|replica| replica.get(partition).copied()).collect(),
    };
    proto::DeviceAssignment {
        replica_count: ids.len() as i32,
        computation_count: partitions as i32,
        computation_devices: (0..partitions).map(of_partition).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes put together by hand from the .proto files' numbers.
    #[test]
    fn options_are_encoded_as_plugins_read_them() {
        let options = CompileOptions {
            replicas: 2,
            device_assignment: Some(vec![vec![3], vec![300]]),
            ..CompileOptions::default().with_override("level", 0i64).with_override("fast", true)
        };
        let ordinal = [&[0x08], &[0xff; 9][..], &[0x01]].concat();
        let devices = b"\x08\x02\x10\x01\x1a\x05\x0a\x03\x03\xac\x02";
        let build = [&ordinal, &b"\x20\x02\x28\x01\x4a\x0b"[..], devices].concat();
        let overrides = b"\x3a\x0a\x0a\x04fast\x12\x02\x10\x01\x3a\x0b\x0a\x05level\x12\x02\x18\x00";
        assert_eq!(options.encode(), [&[0x1a, build.len() as u8], &build[..], overrides].concat());
    }
}
