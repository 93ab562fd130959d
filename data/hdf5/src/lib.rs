//! What datasets and checkpoints share of HDF5: files without locks, text attributes, and the cause of a failure.

mod error;
mod text;

use hdf5_metno::FileBuilder;

pub use error::{Cause, Hdf5Error, failed};
pub use text::{MAX_TEXT, read_text, write_text};

/// Options for every file of this workspace, read or written: no `flock`.
///
/// Many jobs read one file, some network file systems refuse `flock` (NFS without lockd, Lustre without `-o flock`), and
/// a lock needs write permission on others. Nobody needs one, since a finished file never changes: writers make a new
/// one under a temporary name. The property holds on create as on open; libhdf5 lets `HDF5_USE_FILE_LOCKING=TRUE` in
/// the environment overrule it, which a program must therefore take out of its own.
pub fn without_locks() -> FileBuilder {
    let mut options = FileBuilder::new();
    options.with_fapl(|access| access.file_locking(false));
    options
}

/// Version of the HDF5 library that is linked: major, minor, patch.
pub fn version() -> (u8, u8, u8) {
    hdf5_metno::library_version()
}
