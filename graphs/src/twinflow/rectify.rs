//! The rectify loss: one-step samples move along the difference of the real and the fake velocity.

use twinflow_compiler::Tensor;

use crate::{
    Params,
    flow::interpolate,
    models::Network,
    twinflow::{RectifyDraws, parts::stack_rows, parts::take_rows},
};

/// `F(x', t', t') - F(x', -t', -t')` with `x'` the clean estimates `[n, ..]` noised to t': by how much the model thinks
/// that real samples flow otherwise than its own fakes. `live` is the model without gradient.
pub(super) fn velocity_difference<'t>(
    network: &dyn Network,
    live: &Params<Tensor<'t>>,
    clean: Tensor<'t>,
    condition: Tensor<'t>,
    draws: &RectifyDraws<Tensor<'t>>,
) -> Tensor<'t> {
    let (n, t) = (clean.dim(0), draws.time);
    let x = interpolate(clean, draws.noise, t);
    let (two_x, two_t) = (stack_rows(&[x, x]), stack_rows(&[t, -t]));
    let both = network.velocity(live, two_x, two_t, two_t, stack_rows(&[condition, condition]));
    take_rows(both, &(0..n)) - take_rows(both, &(n..2 * n))
}
