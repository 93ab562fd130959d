//! Optimizers and training steps: pure functions from state and batch to state and metrics.

mod batch;
pub mod classifier;
mod gradients;
mod metrics;
pub mod optim;
mod state;
mod trainer;
mod update;

pub use batch::Batch;
pub use gradients::Gradients;
pub use metrics::Metrics;
pub use state::State;
pub use trainer::{Precision, StepConfig, Trainer};
