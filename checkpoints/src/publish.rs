//! Files that appear whole or not at all, and what is said when there is no room for them.

use std::{io, path::Path};

use twinflow_files::{PartialFile, folder_of};

use crate::CheckpointError;

/// Lets `write` make the file, then puts it at `target`, replacing a file that is there.
///
/// # Errors
/// [`CheckpointError::DiskFull`] if there is no room for `needed` bytes, `write`'s error, or the system's; `target` is
/// then as it was and nothing else remains.
pub(crate) fn publish(
    target: &Path,
    needed: u64,
    write: impl FnOnce(&Path) -> Result<(), CheckpointError>,
) -> Result<(), CheckpointError> {
    let folder = folder_of(target);
    let available = fs4::available_space(folder).ok();
    let disk_full =
        || CheckpointError::DiskFull { path: target.into(), needed, available: fs4::available_space(folder).ok() };
    if available.is_some_and(|bytes| bytes < needed) {
        return Err(disk_full());
    }
    let attempt = || {
        let partial = PartialFile::create(target).map_err(CheckpointError::io("create", target))?;
        write(partial.path())?;
        partial.publish().map_err(CheckpointError::io("finish", target))
    };
    attempt().map_err(|error| if is_disk_full(&error) { disk_full() } else { error })
}

fn is_disk_full(error: &CheckpointError) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match error {
        CheckpointError::Io { source, .. } => matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge),
        // libhdf5 passes the system's reason on only as text.
        CheckpointError::Hdf5 { source, .. } => source.stack().is_some_and(|stack| {
            stack.iter().any(|frame| {
                ["No space left", "quota exceeded", "File too large"].iter().any(|text| frame.desc().contains(text))
            })
        }),
        _ => false,
    }
}
