//! Which checkpoints stay.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{CheckpointError, folder, newest_valid, publish::is_temporary};

/// A temporary file is a dead writer's if it was last written this long before the newest checkpoint was finished: a
/// living writer writes all the time. Both times are the file system's own, so clocks need not agree.
const STALE: Duration = Duration::from_secs(3600);

/// Which checkpoints to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// This many of the newest.
    pub keep_last: usize,
    /// All whose step is a multiple of this; none if absent or 0.
    pub keep_every: Option<u64>,
}

impl Retention {
    /// The steps that may go, of `steps` in ascending order.
    fn superseded(&self, steps: &[u64]) -> Vec<u64> {
        let older = &steps[..steps.len().saturating_sub(self.keep_last)];
        let kept_for_ever = |step: &u64| self.keep_every.is_some_and(|n| n > 0 && step.is_multiple_of(n));
        older.iter().copied().filter(|step| !kept_for_ever(step)).collect()
    }

    /// Deletes the checkpoints of `folder` that may go, and temporary files of dead writers; gives what it deleted.
    /// The newest valid checkpoint always stays, whatever the numbers say.
    ///
    /// # Errors
    /// If the folder cannot be read or a file not be deleted.
    pub fn apply(&self, folder: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
        let steps: Vec<u64> = folder::list(folder)?.into_iter().map(|(step, _)| step).collect();
        let mut candidates: Vec<PathBuf> =
            self.superseded(&steps).into_iter().map(|step| folder.join(folder::file_name(step))).collect();
        if !candidates.is_empty() {
            match newest_valid(folder)? {
                Some((newest, _)) => candidates.retain(|path| *path != newest),
                None => candidates.clear(),
            }
        }
        candidates.extend(stale_temporaries(folder)?);
        for path in &candidates {
            fs::remove_file(path).map_err(CheckpointError::io("delete", path))?;
        }
        Ok(candidates)
    }
}

/// The temporary files of checkpoints whose writers are dead.
fn stale_temporaries(folder: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let Some(finished) = folder::list(folder)?.iter().filter_map(|(_, path)| modified(path)).max() else {
        return Ok(Vec::new());
    };
    let is_stale = |path: &PathBuf| {
        modified(path).is_some_and(|written| finished.duration_since(written).is_ok_and(|age| age > STALE))
    };
    let names = folder::file_names(folder)?;
    let ours = names.iter().filter(|name| name.starts_with("step-") && is_temporary(name));
    Ok(ours.map(|name| folder.join(name)).filter(is_stale).collect())
}
