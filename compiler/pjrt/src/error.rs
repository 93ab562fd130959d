//! What can go wrong between this program and a plugin.

use std::{fmt, path::PathBuf};

use twinflow_array::TensorType;

use crate::discover::Platform;

/// The kind of a plugin's error, as in absl's status codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are absl's and say all")]
pub enum ErrorCode {
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl ErrorCode {
    const ALL: [ErrorCode; 16] = [
        ErrorCode::Cancelled,
        ErrorCode::Unknown,
        ErrorCode::InvalidArgument,
        ErrorCode::DeadlineExceeded,
        ErrorCode::NotFound,
        ErrorCode::AlreadyExists,
        ErrorCode::PermissionDenied,
        ErrorCode::ResourceExhausted,
        ErrorCode::FailedPrecondition,
        ErrorCode::Aborted,
        ErrorCode::OutOfRange,
        ErrorCode::Unimplemented,
        ErrorCode::Internal,
        ErrorCode::Unavailable,
        ErrorCode::DataLoss,
        ErrorCode::Unauthenticated,
    ];

    /// The code with absl's number; numbers that absl does not know are [`ErrorCode::Unknown`].
    pub(crate) fn from_raw(raw: i32) -> Self {
        Self::ALL.into_iter().find(|code| *code as i32 == raw).unwrap_or(ErrorCode::Unknown)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Any failure of this crate.
#[allow(missing_docs, reason = "fields are facts of the message above them")]
#[derive(Debug, thiserror::Error)]
pub enum PjrtError {
    /// No plugin lies in any known place.
    #[error(
        "no PJRT plugin for {platform} found; run `{}`, or set {variable} to the plugin's file. Looked for:\n  {}",
        platform.make_target(),
        looked.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join("\n  "),
        variable = crate::discover::PLUGIN_VARIABLE
    )]
    PluginNotFound {
        platform: Platform,
        /// Every file looked for, in order.
        looked: Vec<PathBuf>,
    },
    /// The plugin that the caller or the environment names does not exist.
    #[error("the PJRT plugin {} named by {origin} does not exist; correct the path, or run `make plugin`", path.display())]
    NamedPluginMissing {
        path: PathBuf,
        /// Who named it: a setting or the environment variable.
        origin: &'static str,
    },
    /// The file cannot be opened as a shared library.
    #[error("{} is not a PJRT plugin: it does not load as a shared library ({source})", path.display())]
    NotALibrary {
        path: PathBuf,
        /// What the loader says.
        source: libloading::Error,
    },
    /// The library has no `GetPjrtApi`, or it returns nothing.
    #[error("{} is not a PJRT plugin: the library offers no PJRT function table (GetPjrtApi)", path.display())]
    NotAPlugin { path: PathBuf },
    /// The plugin speaks a version of the C API that this program does not.
    #[error(
        "the PJRT plugin {} speaks C API {major}.{minor}; this program needs 0.{} or a later 0.x: install a newer plugin (`make plugin`)",
        path.display(), crate::plugin::OLDEST_MINOR
    )]
    Version { path: PathBuf, major: i32, minor: i32 },
    /// The plugin is older than a function that is needed, or leaves it out.
    #[error("the PJRT plugin {} (C API 0.{minor}) does not offer {function}; a newer plugin may", plugin.display())]
    Unsupported {
        function: &'static str,
        plugin: PathBuf,
        /// Its minor version.
        minor: i32,
    },
    #[error("{function} failed ({code}): {message}")]
    Plugin { function: &'static str, code: ErrorCode, message: String },
    /// The plugin reports success and returns nothing.
    #[error("{function} succeeded without a result; the plugin is broken, install another (`make plugin`)")]
    NullResult { function: &'static str },
    /// No connection to the platform's devices.
    #[error("cannot use {platform} through {}: {source}; is it a plugin for {platform}, and is there such a device?", plugin.display())]
    Connect {
        platform: Platform,
        plugin: PathBuf,
        /// What the plugin says.
        source: Box<PjrtError>,
    },
    /// The plugin serves another platform than the one asked for.
    #[error("the PJRT plugin {} serves '{actual}', not {expected}; name a plugin for {expected}", plugin.display())]
    Platform { plugin: PathBuf, expected: Platform, actual: String },
    /// A buffer or program output has an element type that host arrays cannot hold.
    #[error(
        "PJRT element type {code} has no host array type; convert to one of bool, u8, i32, i64, u32, u64, f16, bf16, f32, f64 inside the program"
    )]
    ElementType {
        /// The number in the C header's `PJRT_Buffer_Type`.
        code: i32,
    },
    /// The number of argument lists differs from the number of devices that the program runs on.
    #[error(
        "the program '{program}' runs on {expected} devices of this process, but {actual} argument lists were given"
    )]
    DeviceCount {
        program: String,
        /// Devices of this process that the program runs on.
        expected: usize,
        /// Lists given.
        actual: usize,
    },
    /// The argument lists of two devices differ in length.
    #[error("the program '{program}' got {actual} arguments on device {device}, but {expected} on device 0")]
    ArgumentCount {
        program: String,
        /// Position of the device in the argument lists.
        device: usize,
        /// Arguments on the first device.
        expected: usize,
        /// Arguments on this device.
        actual: usize,
    },
    /// An argument belongs to another client.
    #[error(
        "argument {argument} of '{program}' on device {device} ({ty}) belongs to another PJRT client; copy it through the host"
    )]
    ForeignBuffer {
        program: String,
        /// Position of the device in the argument lists.
        device: usize,
        /// Position of the argument.
        argument: usize,
        ty: TensorType,
    },
    /// A program wants more devices than the topology has.
    #[error("{replicas} replicas x {partitions} partitions need more than the topology's {devices} devices")]
    TopologySize {
        /// Replicas asked for.
        replicas: usize,
        /// Partitions asked for.
        partitions: usize,
        /// Devices of the topology.
        devices: usize,
    },
    /// A name that is neither a known kind of GPU nor a file.
    #[error("unknown target '{name}' (known: {known}; or name a file that holds a GpuTargetConfigProto as text)")]
    UnknownTarget { name: String, known: String },
    /// A file that does not describe a GPU.
    #[error(
        "{} does not describe a GPU (as a GpuTargetConfigProto in text): {reason}; compiler/pjrt/targets/h200.txtpb is an example",
        path.display()
    )]
    TargetFile {
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No folder with the part of CUDA that compiling for NVIDIA GPUs needs.
    #[error(
        "compiling for an NVIDIA GPU needs CUDA's ptxas and libdevice, and no folder holds both bin/ptxas and \
         nvvm/libdevice/libdevice.10.bc; run `make cuda-compiler`, or set CUDA_HOME. Looked in:\n  {}",
        looked.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join("\n  ")
    )]
    NoCudaToolkit {
        /// Every folder looked in, in order.
        looked: Vec<PathBuf>,
    },
    /// Host memory was asked of a buffer that does not lie there.
    #[error("the memory of {ty} lies on a device, not on the host; copy it with to_host")]
    NotOnHost { ty: TensorType },
}
