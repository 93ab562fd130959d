//! What is trained, and how samples are made: the trait of all methods, a file or folder for each, and the phases of a
//! run: which method trains when. A new method is listed here.

mod average;
pub mod flow;
pub mod flow_matching;
mod method;
mod random;
mod rows;
pub mod twinflow;

use twinflow_nn::ConfigError;

pub use average::moving_average;
use flow_matching::{FlowConfig, FlowMatching};
pub use method::{BatchPart, BatchShape, Loss, LossInputs, Method, Start};
pub use random::Draw;
use twinflow::{TwinFlow, TwinFlowConfig};

/// The sections of the methods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MethodsConfig {
    /// `[flow]`.
    pub flow: FlowConfig,
    /// `[twinflow]`.
    pub twinflow: TwinFlowConfig,
}

/// A stretch of steps with one method.
pub struct Phase {
    /// How it trains.
    pub method: Box<dyn Method>,
    /// The step, from 0, before which it begins; it lasts until the next phase's, or the run's end.
    pub first_step: u64,
}

/// The phases in order: flow matching for `flow.steps`, then TwinFlow.
///
/// # Errors
/// [`ConfigError`] for the first value that is not allowed or does not fit the batch.
pub fn phases(config: &MethodsConfig, batch: BatchShape) -> Result<Vec<Phase>, ConfigError> {
    let flow = FlowMatching::new(config.flow.clone(), batch)?;
    let twinflow = TwinFlow::new(config.twinflow.clone(), batch)?;
    Ok(vec![
        Phase { method: Box::new(flow), first_step: 0 },
        Phase { method: Box::new(twinflow), first_step: config.flow.steps },
    ])
}
