//! Which checkpoints stay.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{CheckpointError, folder, newest_valid};

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

    /// Deletes the checkpoints of `folder` that may go, and unfinished files of dead writers; gives what it deleted.
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
        for path in &candidates {
            fs::remove_file(path).map_err(CheckpointError::io("delete", path))?;
        }
        let stale = twinflow_files::remove_stale(folder);
        candidates.extend(stale.map_err(CheckpointError::io("delete unfinished files in", folder))?);
        Ok(candidates)
    }
}
