//! Writes the run's report.

use std::path::PathBuf;

use miette::Result;

use super::{Hook, StepInfo};
use crate::report;

/// Writes report.html when the run ends. It comes after all others, whose files it shows.
pub struct WriteReport {
    pub run: PathBuf,
}

impl Hook for WriteReport {
    fn on_step(&mut self, info: &mut StepInfo<'_>) -> Result<()> {
        if info.ending.is_some() {
            let path = report::write(&self.run)?;
            tracing::info!(path = %path.display(), "wrote the report");
        }
        Ok(())
    }
}
