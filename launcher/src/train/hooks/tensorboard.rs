//! Writes TensorBoard's scalars and pictures.

use std::path::PathBuf;

use miette::Result;

use super::{Hook, StepInfo};
use crate::tensorboard::EventFile;

/// Adds every step to an event file, and the pictures that were drawn of its samples.
pub struct WriteEvents {
    /// The file.
    pub file: EventFile,
    /// samples/
    pub samples: PathBuf,
}

impl Hook for WriteEvents {
    fn on_step(&mut self, info: &StepInfo<'_>) -> Result<()> {
        self.file.append(info.metrics)?;
        let picture = self.samples.join(super::samples::file_name(info.metrics.step));
        if picture.is_file() {
            self.file.append_picture(info.metrics.step, &picture)?;
        }
        Ok(())
    }
}
