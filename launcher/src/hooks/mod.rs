//! What happens between steps, on rank 0: checkpoints, pictures, curves, events, the report.

mod checkpoints;
mod curves;
mod events;
mod report;
mod samples;

use miette::Result;
use twinflow_compiler::pjrt::Buffer;
use twinflow_training::State;

use crate::{
    metrics::{History, StepMetrics},
    pictures::Picture,
};

pub use checkpoints::SaveCheckpoints;
pub use curves::DrawCurves;
pub use events::{EventFile, WriteEvents};
pub use report::WriteReport;
pub use samples::{DrawSamples, Shown};

/// What a hook sees of a step.
pub struct StepInfo<'a> {
    pub metrics: &'a StepMetrics,
    /// The curves of the run up to it.
    pub history: &'a History,
    pub state: &'a State<Buffer>,
    /// Whether the run ends with this step.
    pub ending: Option<Ending>,
    /// What a hook drew of the step's samples, for the hooks after it.
    pub picture: Option<Picture>,
}

/// Why a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It made all its steps.
    Finished,
    /// A signal asked for it; there is little time left.
    Stopped,
}

impl Ending {
    /// How a run ends with a step: the last one, or one during which a signal came.
    pub fn after(is_last: bool, is_stopped: bool) -> Option<Self> {
        if is_last { Some(Ending::Finished) } else { is_stopped.then_some(Ending::Stopped) }
    }
}

/// Something to do after steps.
pub trait Hook {
    /// A step is done.
    ///
    /// # Errors
    /// Whatever ends the run.
    fn on_step(&mut self, info: &mut StepInfo<'_>) -> Result<()>;
}

/// Whether something that happens every `every` steps (0: never) happens after this one.
pub fn is_due(step: u64, every: u64) -> bool {
    every > 0 && step.is_multiple_of(every)
}
