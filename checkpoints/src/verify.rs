//! Checking every byte of a checkpoint.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::Serialize;
use twinflow_array::ParamPath;

use crate::{Checkpoint, CheckpointError};

/// An array whose data are not what was written: CRC-32 as it was then, and of the data in the file now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Damage {
    pub array: String,
    pub stored: u32,
    pub computed: u32,
}

/// What reading a whole checkpoint found; arrays and bytes are those that were checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct VerifyReport {
    pub path: PathBuf,
    pub step: u64,
    pub arrays: usize,
    pub bytes: u64,
    pub damaged: Vec<Damage>,
}

impl VerifyReport {
    /// The report of an intact checkpoint.
    ///
    /// # Errors
    /// [`CheckpointError::Checksum`] of the first damaged array.
    pub fn into_result(self) -> Result<Self, CheckpointError> {
        match self.damaged.first() {
            None => Ok(self),
            Some(Damage { array, stored, computed }) => Err(CheckpointError::Checksum {
                path: self.path.clone(),
                array: ParamPath::from(array.as_str()),
                stored: *stored,
                computed: *computed,
            }),
        }
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let VerifyReport { path, step, arrays, bytes, damaged } = self;
        let verdict = if damaged.is_empty() { "intact" } else { "DAMAGED" };
        write!(f, "{}: {verdict}: step {step}, {arrays} arrays, {bytes} bytes", path.display())?;
        for Damage { array, stored, computed } in damaged {
            write!(f, "\n  {array}: checksum {computed:08x}, written as {stored:08x}")?;
        }
        Ok(())
    }
}

/// Checks all checksums of a checkpoint file.
///
/// # Errors
/// As [`Checkpoint::open`]: then there is no list of arrays to check. Damaged arrays are no error but are in the report.
pub fn verify(path: impl AsRef<Path>) -> Result<VerifyReport, CheckpointError> {
    report(&Checkpoint::open(path)?)
}

/// Checks all arrays of an opened checkpoint.
pub(crate) fn report(checkpoint: &Checkpoint) -> Result<VerifyReport, CheckpointError> {
    let mut report = VerifyReport {
        path: checkpoint.path().into(),
        step: checkpoint.metadata().step,
        arrays: checkpoint.arrays().len(),
        bytes: 0,
        damaged: Vec::new(),
    };
    for entry in checkpoint.arrays() {
        let (stored, computed) = (entry.checksum, checkpoint.checksum(entry)?);
        report.bytes += entry.ty.bytes() as u64;
        if stored != computed {
            report.damaged.push(Damage { array: entry.path.to_string(), stored, computed });
        }
    }
    Ok(report)
}
