//! Writes TensorBoard's scalars.

use miette::Result;

use super::{Hook, StepInfo};
use crate::tensorboard::EventFile;

/// Adds every step to an event file.
pub struct WriteEvents {
    /// The file.
    pub file: EventFile,
}

impl Hook for WriteEvents {
    fn on_step(&mut self, info: &StepInfo<'_>) -> Result<()> {
        Ok(self.file.append(info.metrics)?)
    }
}
