//! Folders of checkpoints.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{Checkpoint, CheckpointError, verify::report};

/// The file name of a step's checkpoint: `step-00001234.h5`.
pub(crate) fn file_name(step: u64) -> String {
    format!("step-{step:08}.h5")
}

/// None for a file that is no checkpoint, such as an unfinished one.
fn step_of(name: &str) -> Option<u64> {
    let step = name.strip_prefix("step-")?.strip_suffix(".h5")?.parse().ok()?;
    (file_name(step) == name).then_some(step)
}

/// The checkpoints in a folder by their names, oldest first; none if the folder does not exist.
///
/// # Errors
/// If the folder cannot be read.
pub fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>, CheckpointError> {
    let names = file_names(folder)?;
    let mut found: Vec<_> = names.iter().filter_map(|name| Some((step_of(name)?, folder.join(name)))).collect();
    found.sort();
    Ok(found)
}

/// The names in a folder that are text; none if it does not exist.
pub(crate) fn file_names(folder: &Path) -> Result<Vec<String>, CheckpointError> {
    let refuse = CheckpointError::io("list", folder);
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(refuse(error)),
        Ok(entries) => {
            let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
            let names: Vec<_> = names.collect::<io::Result<_>>().map_err(refuse)?;
            Ok(names.into_iter().flatten().collect())
        }
    }
}

/// The newest checkpoint of a folder that is whole, all data checked; others are skipped with a warning that
/// says why. None if there is none.
///
/// # Errors
/// If the folder cannot be read.
pub fn newest_valid(folder: &Path) -> Result<Option<(PathBuf, Checkpoint)>, CheckpointError> {
    Ok(search(folder)?.ok().map(|checkpoint| (checkpoint.path().to_owned(), checkpoint)))
}

/// The newest valid checkpoint, or why each is not, newest first.
fn search(folder: &Path) -> Result<Result<Checkpoint, Vec<CheckpointError>>, CheckpointError> {
    let mut reasons = Vec::new();
    for (_, path) in list(folder)?.into_iter().rev() {
        match open_verified(&path) {
            Ok(checkpoint) => return Ok(Ok(checkpoint)),
            Err(reason) => {
                tracing::warn!("skipping a checkpoint: {reason}");
                reasons.push(reason);
            }
        }
    }
    Ok(Err(reasons))
}

fn open_verified(path: &Path) -> Result<Checkpoint, CheckpointError> {
    let checkpoint = Checkpoint::open(path)?;
    report(&checkpoint)?.into_result()?;
    Ok(checkpoint)
}

/// The checkpoint file that a user means: a file itself, or the newest valid one of a folder of checkpoints or of a
/// run folder, which has them in `checkpoints/`.
///
/// # Errors
/// [`CheckpointError::Io`] if there is nothing at `path`, [`CheckpointError::NoCheckpoint`] if the folder has none,
/// [`CheckpointError::NoneUsable`] if none of them is valid.
pub fn resolve(path: &Path) -> Result<PathBuf, CheckpointError> {
    if !fs::metadata(path).map_err(CheckpointError::io("find", path))?.is_dir() {
        return Ok(path.into());
    }
    for folder in [path.to_owned(), path.join("checkpoints")] {
        match search(&folder)? {
            Ok(checkpoint) => return Ok(checkpoint.path().into()),
            Err(mut reasons) if !reasons.is_empty() => {
                let (path, count) = (folder, reasons.len());
                return Err(CheckpointError::NoneUsable { path, count, newest: Box::new(reasons.swap_remove(0)) });
            }
            Err(_) => {}
        }
    }
    Err(CheckpointError::NoCheckpoint { path: path.into() })
}
