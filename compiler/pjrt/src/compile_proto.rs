//! Messages of xla/pjrt/proto/compile_options.proto and xla/xla_data.proto, as far as they are used.

use std::collections::BTreeMap;

/// `CompileOptionsProto`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CompileOptions {
    #[prost(message, optional, tag = "3")]
    pub build_options: Option<ExecutableBuildOptions>,
    /// `env_option_overrides`.
    #[prost(btree_map = "string, message", tag = "7")]
    pub overrides: BTreeMap<String, OptionOverride>,
}

/// `ExecutableBuildOptionsProto`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ExecutableBuildOptions {
    #[prost(int64, tag = "1")]
    pub device_ordinal: i64,
    #[prost(int64, tag = "4")]
    pub num_replicas: i64,
    #[prost(int64, tag = "5")]
    pub num_partitions: i64,
    #[prost(bool, tag = "6")]
    pub use_spmd_partitioning: bool,
    #[prost(message, optional, tag = "9")]
    pub device_assignment: Option<DeviceAssignment>,
    #[prost(bool, tag = "19")]
    pub use_shardy_partitioner: bool,
}

/// `OptionOverrideProto`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct OptionOverride {
    #[prost(oneof = "OverrideValue", tags = "1, 2, 3, 4")]
    pub value: Option<OverrideValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum OverrideValue {
    #[prost(string, tag = "1")]
    String(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Double(f64),
}

/// `DeviceAssignmentProto`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DeviceAssignment {
    #[prost(int32, tag = "1")]
    pub replica_count: i32,
    #[prost(int32, tag = "2")]
    pub computation_count: i32,
    /// One for each partition.
    #[prost(message, repeated, tag = "3")]
    pub computation_devices: Vec<ComputationDevice>,
}

/// `DeviceAssignmentProto.ComputationDevice`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ComputationDevice {
    #[prost(int64, repeated, tag = "1")]
    pub replica_device_ids: Vec<i64>,
}
