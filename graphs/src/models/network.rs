//! What the method needs of a network.

use twinflow_compiler::Tensor;

use crate::{Params, init::Init};

/// A network that predicts the average velocity from time t to time r.
pub trait Network: Send + Sync {
    /// Types and first values of the parameters.
    fn parameters(&self) -> Params<Init>;

    /// The velocity of the samples `x` `[b, ..]` (any rank), of x's shape.
    ///
    /// `t`, `r` f32 `[b]` are in [-1, 1]; a negative t means the model's own fakes. `condition` `[b, ..]` is what the
    /// network is conditioned on: class labels i32 `[b]` for the models of this crate.
    fn velocity<'t>(
        &self,
        params: &Params<Tensor<'t>>,
        x: Tensor<'t>,
        t: Tensor<'t>,
        r: Tensor<'t>,
        condition: Tensor<'t>,
    ) -> Tensor<'t>;

    /// The condition that means "none", of `condition`'s shape.
    fn null_condition<'t>(&self, condition: Tensor<'t>) -> Tensor<'t>;
}
