//! The rectify loss: one-step samples move along the difference of the real and the fake velocity.

use twinflow_compiler::Tensor;
use twinflow_nn::{Condition, DenoiserInput, Params};

use crate::{
    flow::interpolate,
    rows::{stack_rows, take_rows},
    twinflow::{RectifyDraws, TwinFlowLoss},
};

impl TwinFlowLoss<'_> {
    /// `F(x', t', t') - F(x', -t', -t')` with `x'` the clean estimates `[n, ..]` noised to t': by how much the model
    /// thinks that real samples flow otherwise than its own fakes. `live` is the model without gradient.
    pub(super) fn velocity_difference<'t>(
        &self,
        live: &Params<Tensor<'t>>,
        clean: Tensor<'t>,
        condition: Condition<Tensor<'t>>,
        draws: &RectifyDraws<Tensor<'t>>,
    ) -> Tensor<'t> {
        let (n, t) = (clean.dim(0), draws.time);
        let x = interpolate(clean, draws.noise, t);
        let real = DenoiserInput { x, t, r: t, condition };
        let fake = DenoiserInput { t: -t, r: -t, ..real.clone() };
        let both = self.denoiser.velocity(live, &stack_rows(&[real, fake]));
        take_rows(&both, &(0..n)) - take_rows(&both, &(n..2 * n))
    }
}
