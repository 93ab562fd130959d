//! Everything that training changes.

use twinflow_array::Tree;

use crate::{Params, optim::OptimizerState};

/// Everything that a training step changes, hence everything that a checkpoint saves.
#[derive(Clone, Debug, Tree)]
pub struct State<L> {
    /// Steps done, u32: which batch and which random numbers come next. Counts skipped updates too.
    pub step: L,
    /// [`Phase`] as i32.
    pub phase: L,
    /// The model.
    pub params: Params<L>,
    /// The parameters that targets are computed with, unless that is the model itself.
    pub teacher: Option<Params<L>>,
    /// How much of itself the teacher keeps at the next update, f32.
    pub teacher_decay: L,
    /// Moving average of the model, for sampling.
    pub ema: Params<L>,
    /// Moments and the number of updates done.
    pub optimizer: OptimizerState<L>,
    /// Key of all random numbers, u32 `[2]`; constant.
    pub key: L,
}

/// What is trained. Each phase is a program of its own over the same state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Flow matching: velocities at r = t.
    FlowMatching = 0,
    /// TwinFlow: the losses that make one step enough.
    TwinFlow = 1,
}
