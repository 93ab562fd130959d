//! What a step reports.

use twinflow_array::Tree;
use twinflow_nn::Params;

/// What a step reports, f32 scalars.
#[derive(Clone, Debug, Tree)]
pub struct Metrics<L> {
    /// What is minimised.
    pub loss: L,
    /// What it consists of, under the names that the method gives.
    pub terms: Params<L>,
    /// Global norm of the gradient before clipping.
    pub grad_norm: L,
    /// Learning rate of this step.
    pub learning_rate: L,
    /// 1 if loss and gradient were finite and the update was made, 0 if it was left out.
    pub applied: L,
}
