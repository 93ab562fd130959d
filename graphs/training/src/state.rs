//! Everything that training changes.

use twinflow_array::Tree;
use twinflow_nn::Params;

use crate::optim::OptimizerState;

/// Everything that a training step changes, hence everything that a checkpoint saves, and the parameters that it does
/// not change.
#[derive(Clone, Debug, Tree)]
pub struct State<L> {
    /// Steps done, u32: which batch and which random numbers come next. Counts skipped updates too.
    pub step: L,
    /// Number of the phase that has begun, i32.
    pub phase: L,
    /// The parameters that are trained.
    #[tree(name = "params")]
    pub trained: Params<L>,
    /// The others; no moments and no averages are kept of them.
    #[tree(name = "params")]
    pub frozen: Params<L>,
    /// What the methods of all phases keep, by name.
    #[tree(name = "")]
    pub method: Params<L>,
    /// Moving average of the trained parameters, for sampling.
    pub ema: Params<L>,
    /// Moments of the trained parameters, and the number of updates done.
    pub optimizer: OptimizerState<L>,
    /// Key of all random numbers, u32 `[2]`; constant.
    pub key: L,
}
