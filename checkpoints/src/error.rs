//! What can go wrong with a checkpoint.

use std::{io, path::PathBuf};

use twinflow_array::{ArrayError, DType, ParamPath, TensorType};
use twinflow_hdf5::Cause;

use crate::Misfit;

/// A checkpoint that cannot be written, read or used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each message says what its fields are")]
pub enum CheckpointError {
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    /// The disk, or the user's quota, is full.
    #[error(
        "cannot write {}: no space left ({needed} bytes needed, {} free); earlier checkpoints are untouched: free some \
         space, keep fewer checkpoints or save elsewhere",
        path.display(), available.map_or("an unknown number".to_owned(), |bytes| bytes.to_string())
    )]
    DiskFull { path: PathBuf, needed: u64, available: Option<u64> },
    /// libhdf5 refused.
    #[error("cannot {action} {}: {}", path.display(), Cause::of(source))]
    Hdf5 { action: &'static str, path: PathBuf, source: hdf5_metno::Error },
    /// No trailer: cut short, changed by another program, or no checkpoint at all.
    #[error(
        "{} is not a complete checkpoint: it does not end in a checkpoint's trailer (cut short, changed by another \
         program, or another kind of file)",
        path.display()
    )]
    NoTrailer { path: PathBuf },
    /// The trailer, or the HDF5 structure that it guards, has changed.
    #[error(
        "{} is damaged in its {part}: checksum {computed:08x}, written as {stored:08x}; use another checkpoint",
        path.display()
    )]
    Structure { path: PathBuf, part: &'static str, stored: u32, computed: u32 },
    /// An array's data have changed.
    #[error(
        "{} is damaged: '{array}' has checksum {computed:08x}, written as {stored:08x}; use another checkpoint",
        path.display()
    )]
    Checksum { path: PathBuf, array: ParamPath, stored: u32, computed: u32 },
    /// The trailer is right but the file says that it is something else.
    #[error("{} holds '{found}', not '{}'", path.display(), crate::SCHEMA)]
    Schema { path: PathBuf, found: String },
    /// Written by a newer program.
    #[error(
        "{} has schema version {found}, this program reads up to {}: use a newer program",
        path.display(), crate::SCHEMA_VERSION
    )]
    SchemaVersion { path: PathBuf, found: u32 },
    /// A dataset says that it holds an element type that this program does not know.
    #[error("{}: '{array}': {source}", path.display())]
    UnknownDType { path: PathBuf, array: ParamPath, source: twinflow_array::UnknownDType },
    /// A name that HDF5 cannot hold.
    #[error("'{array}' cannot name an array: segments must not be empty, '.', '..' or hold a zero byte")]
    BadName { array: ParamPath },
    /// Two arrays of one name, or one below the name of another.
    #[error("'{array}' is named twice, or lies inside another array")]
    NameTaken { array: ParamPath },
    /// A text that HDF5 cannot hold.
    #[error("the metadata field '{field}' holds a zero byte")]
    ZeroByte { field: &'static str },
    /// A parameter with another type than the model's: the first in the model's order.
    #[error(
        "{} has {array} {found}, this model needs {array} {expected}: use the config that it was written with, or \
         start a new run",
        path.display()
    )]
    TypeMismatch { path: PathBuf, array: ParamPath, found: TensorType, expected: TensorType },
    /// The model has a parameter that the file lacks: the first in the model's order.
    #[error(
        "{} lacks {array}, which this model needs as {expected}: use the config that it was written with, or start a \
         new run",
        path.display()
    )]
    Missing { path: PathBuf, array: ParamPath, expected: TensorType },
    /// The file has a parameter that the model lacks: the first in the file's order.
    #[error(
        "{} has {array} {found}, which this model lacks: use the config that it was written with, or start a new run",
        path.display()
    )]
    Extra { path: PathBuf, array: ParamPath, found: TensorType },
    /// Asked for an array that the file does not have.
    #[error("{} has no array '{array}'", path.display())]
    NoArray { path: PathBuf, array: ParamPath },
    /// Asked for a group that the file does not have.
    #[error("{} has no group '{group}' (it has: {})", path.display(), known.join(", "))]
    NoGroup { path: PathBuf, group: String, known: Vec<String> },
    /// No checkpoint where one was expected.
    #[error("no checkpoint in {}: give a checkpoint file, a folder of step-*.h5 files or a run folder", path.display())]
    NoCheckpoint { path: PathBuf },
    #[error("all {count} checkpoints in {} are unusable; the newest: {newest}", path.display())]
    NoneUsable { path: PathBuf, count: usize, newest: Box<CheckpointError> },
    /// Weights can only be exported in a floating-point type.
    #[error("cannot export weights as {dtype}: choose f16, bf16, f32 or f64")]
    CastToNonFloat { dtype: DType },
    /// A leaf whose dims do not fit its name or layout in other programs.
    #[error(transparent)]
    Array(#[from] ArrayError),
    /// Weights of another model, or under other names.
    #[error("{} does not hold this model's weights:{}", path.display(), lines(misfits))]
    Unfit { path: PathBuf, misfits: Vec<Misfit> },
    /// The safetensors library refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Safetensors { action: &'static str, path: PathBuf, source: safetensors::SafeTensorError },
}

impl CheckpointError {
    /// Whether a checksum says that the file has changed; what else is wrong may be the system's or a library's fault.
    pub fn is_damage(&self) -> bool {
        matches!(self, CheckpointError::Structure { .. } | CheckpointError::Checksum { .. })
    }

    /// For `map_err` on file operations.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| CheckpointError::Io { action, path, source }
    }

    /// For `map_err` on HDF5 operations.
    pub(crate) fn hdf5(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(hdf5_metno::Error) -> Self {
        let path = path.into();
        move |source| CheckpointError::Hdf5 { action, path, source }
    }
}

/// Each on a line of its own.
fn lines(misfits: &[Misfit]) -> String {
    misfits.iter().map(|misfit| format!("\n  it {misfit}")).collect()
}
