//! The loss and what it is made of.

use twinflow_array::{Leaf, Tree};
use twinflow_compiler::Tensor;

/// The loss and its terms, f32 scalars: `loss = base + adv + rectify`.
#[derive(Clone, Debug, Tree)]
pub struct LossTerms<L> {
    /// The whole loss.
    pub loss: L,
    /// Flow matching, or TwinFlow's share of the e2e, mul and any samples.
    pub base: L,
    /// Share of the adv samples.
    pub adv: L,
    /// Rectify loss, weighted.
    pub rectify: L,
    /// Mean over the e2e samples of the root mean square of v_fake - v_real, before the clamp; 0 without rectify.
    pub self_play_gap: L,
}

impl<L: Leaf> LossTerms<L> {
    /// How many numbers there are.
    pub const COUNT: usize = 5;
}

impl<'t> LossTerms<Tensor<'t>> {
    /// A loss of one term.
    pub fn base_only(loss: Tensor<'t>) -> Self {
        let zero = loss.zeros_like();
        LossTerms { loss, base: loss, adv: zero, rectify: zero, self_play_gap: zero }
    }
}
