//! Saves the state.

use std::path::PathBuf;

use miette::Result;
use twinflow_checkpoints::{Metadata, Retention, SaveRequest, save};
use twinflow_compiler::{pjrt::Buffer, to_host};
use twinflow_runtime::console::OrReport;
use twinflow_training::State;

use super::{Hook, StepInfo, is_due};
use crate::metrics::StepMetrics;

/// Saves every `every` steps and at the end, then deletes what is not to be kept.
pub struct SaveCheckpoints {
    pub folder: PathBuf,
    /// Steps between checkpoints; 0: only at the end.
    pub every: u64,
    pub retention: Retention,
    /// The run's resolved config, TOML.
    pub config: String,
    pub world_size: usize,
    /// The tokenizer of the dataset's prompts, a tokenizer.json.
    pub tokenizer: Option<String>,
}

impl Hook for SaveCheckpoints {
    fn on_step(&mut self, info: &mut StepInfo<'_>) -> Result<()> {
        if info.ending.is_some() || is_due(info.metrics.step, self.every) {
            self.save(info.metrics, info.state)
        } else {
            Ok(())
        }
    }
}

impl SaveCheckpoints {
    /// For a run that stops some time after a step: saves what was not saved with it.
    ///
    /// # Errors
    /// As after a step.
    pub fn save_late(&mut self, metrics: &StepMetrics, state: &State<Buffer>) -> Result<()> {
        if is_due(metrics.step, self.every) { Ok(()) } else { self.save(metrics, state) }
    }

    fn save(&mut self, metrics: &StepMetrics, state: &State<Buffer>) -> Result<()> {
        let metadata = Metadata {
            step: metrics.step,
            phase: metrics.phase.clone(),
            config: self.config.clone(),
            program: format!("twinflow-xla {}", env!("CARGO_PKG_VERSION")),
            world_size: self.world_size as u64,
            tokenizer: self.tokenizer.clone(),
            created: Metadata::now(),
        };
        let state = to_host(state).or_report()?;
        let path = save(&SaveRequest::of_tree(&self.folder, metadata, &state)).or_report()?;
        tracing::info!(path = %path.display(), "saved");
        self.retention.apply(&self.folder).or_report()?;
        Ok(())
    }
}
