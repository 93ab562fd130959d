//! Writes TensorBoard's scalars and pictures.

mod event;
mod file;
mod record;

use miette::Result;

pub use self::file::EventFile;

use super::{Hook, StepInfo};

/// Adds every step, and the pictures that hooks before this one drew of its samples.
pub struct WriteEvents(pub EventFile);

impl Hook for WriteEvents {
    fn on_step(&mut self, info: &mut StepInfo<'_>) -> Result<()> {
        self.0.append(info.metrics)?;
        match &info.picture {
            Some(picture) => Ok(self.0.append_picture(info.metrics.step, picture)?),
            None => Ok(()),
        }
    }
}
