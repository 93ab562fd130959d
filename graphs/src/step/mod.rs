//! Training steps: pure functions from state and batch to state and metrics.

mod batch;
mod gradients;
mod metrics;
mod setup;
mod state;
mod update;

pub use batch::Batch;
pub use metrics::Metrics;
pub use setup::{Precision, StepConfig, Trainer};
pub use state::{Phase, State};
