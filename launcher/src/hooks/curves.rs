//! Draws the course of the loss.

use std::path::PathBuf;

use miette::Result;

use super::{Hook, StepInfo, is_due};
use crate::report::charts;

/// Draws every `every` steps and at the end.
pub struct DrawCurves {
    pub picture: PathBuf,
    /// Steps between drawings; 0: only at the end.
    pub every: u64,
}

impl Hook for DrawCurves {
    fn on_step(&mut self, info: &mut StepInfo<'_>) -> Result<()> {
        if info.ending.is_none() && !is_due(info.metrics.step, self.every) {
            return Ok(());
        }
        match charts::all_terms(info.history).to_png()? {
            Some(picture) => Ok(picture.write(&self.picture)?),
            None => Ok(()),
        }
    }
}
