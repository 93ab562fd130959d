//! What a step reports.

use twinflow_array::Tree;

/// The loss and its terms, f32 scalars. `loss = base + adv + rectify`.
#[derive(Clone, Debug, Tree)]
pub struct LossTerms<L> {
    /// The whole loss.
    pub loss: L,
    /// Base loss: flow matching, or RCGM on the samples that are not adv.
    pub base: L,
    /// Self-adversarial loss.
    pub adv: L,
    /// Rectify loss, weighted.
    pub rectify: L,
    /// Mean over the e2e samples of the root mean square of v_fake - v_real, before the clamp; 0 without rectify.
    pub self_play_gap: L,
}

/// What a step reports, f32 scalars.
#[derive(Clone, Debug, Tree)]
pub struct Metrics<L> {
    /// The loss and its terms.
    #[tree(name = "loss")]
    pub terms: LossTerms<L>,
    /// Global norm of the gradient before clipping.
    pub grad_norm: L,
    /// Learning rate of this step.
    pub learning_rate: L,
    /// 1 if loss and gradient were finite and the update was made, 0 if it was left out.
    pub applied: L,
}

impl<L> LossTerms<L> {
    /// How many terms there are.
    pub const COUNT: usize = 5;
}
