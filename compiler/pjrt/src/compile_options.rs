//! How to compile a program.

use crate::{OptionValue, protobuf::Message};

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
        // env_option_overrides: map<string, OptionOverrideProto>, an entry being { 1: key, 2: value }.
        let entry = |(name, value): &(String, OptionValue)| {
            Message::default().bytes(1, name.as_bytes()).message(2, override_value(value))
        };
        let options = Message::default().message(3, self.build_options());
        self.overrides.iter().map(entry).fold(options, |options, entry| options.message(7, entry)).into_bytes()
    }

    /// `ExecutableBuildOptionsProto`.
    fn build_options(&self) -> Message {
        let build = Message::default()
            .int(1, self.device_ordinal.map_or(-1, |ordinal| ordinal as i64))
            .int(4, self.replicas as i64)
            .int(5, self.partitions as i64)
            .bool(6, self.use_spmd)
            .bool(19, self.use_shardy);
        match &self.device_assignment {
            Some(assignment) => build.message(9, encode_assignment(assignment)),
            None => build,
        }
    }
}

/// `OptionOverrideProto`: one of string 1, bool 2, int 3, double 4. XLA takes lists as text.
fn override_value(value: &OptionValue) -> Message {
    let message = Message::default();
    match value {
        OptionValue::String(_) | OptionValue::IntList(_) => message.bytes(1, value.to_string().as_bytes()),
        OptionValue::Bool(value) => message.bool(2, *value),
        OptionValue::Int(value) => message.int(3, *value),
        OptionValue::Float(value) => message.double(4, *value),
    }
}

/// `DeviceAssignmentProto`: replica count 1, partition count 2, and per partition (3) the replicas' device ids.
fn encode_assignment(assignment: &[Vec<i64>]) -> Message {
    let partitions = assignment.first().map_or(0, Vec::len);
    let counts = Message::default().int(1, assignment.len() as i64).int(2, partitions as i64);
    (0..partitions).fold(counts, |message, partition| {
        let replicas = assignment.iter().filter_map(|replica| replica.get(partition).copied());
        message.message(3, Message::default().ints(1, replicas))
    })
}
