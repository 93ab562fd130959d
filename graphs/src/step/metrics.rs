//! What a step reports.

use twinflow_array::Tree;

use crate::LossTerms;

/// What a step reports, f32 scalars.
#[derive(Clone, Debug, Tree)]
pub struct Metrics<L> {
    /// The loss and its terms.
    pub terms: LossTerms<L>,
    /// Global norm of the gradient before clipping.
    pub grad_norm: L,
    /// Learning rate of this step.
    pub learning_rate: L,
    /// 1 if loss and gradient were finite and the update was made, 0 if it was left out.
    pub applied: L,
}
