//! Files that appear whole or not at all: written under a temporary name, flushed to the disk, renamed.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::CheckpointError;

/// What temporary names end in, before the writer's process id and a number.
const TEMPORARY: &str = ".partial-";

/// A file that is removed unless it was renamed.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // After the rename there is nothing left to remove; on other failures the caller's error says more.
        let _ = fs::remove_file(&self.0);
    }
}

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
    let folder = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let available = fs4::available_space(folder).ok();
    let disk_full =
        || CheckpointError::DiskFull { path: target.into(), needed, available: fs4::available_space(folder).ok() };
    if available.is_some_and(|bytes| bytes < needed) {
        return Err(disk_full());
    }
    let temporary = Temporary(temporary_name(target));
    let attempt = || {
        write(&temporary.0)?;
        sync(&temporary.0)?;
        fs::rename(&temporary.0, target).map_err(CheckpointError::io("rename a finished file to", target))?;
        sync(folder)
    };
    attempt().map_err(|error| if is_disk_full(&error) { disk_full() } else { error })
}

fn temporary_name(target: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut name = target.as_os_str().to_owned();
    name.push(format!("{TEMPORARY}{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    name.into()
}

/// Whether a file name is one that [`publish`] writes under before the file is whole.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.contains(TEMPORARY)
}

fn sync(path: &Path) -> Result<(), CheckpointError> {
    fs::File::open(path).and_then(|file| file.sync_all()).map_err(CheckpointError::io("flush", path))
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
