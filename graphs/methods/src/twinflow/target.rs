//! What base samples are drawn to: the guided velocity, and the RCGM target along it (arXiv 2505.07447).

use twinflow_array::Tree;
use twinflow_compiler::{Tensor, scan, stack};
use twinflow_nn::{Condition, DenoiserInput, Params};

use crate::{
    flow::per_sample,
    rows::{replace_rows, stack_rows, take_rows},
    twinflow::{Part, TwinFlowConfig, TwinFlowLoss},
};

/// Length of the step along the given velocity that starts the RCGM path.
const FIRST_STEP: f64 = 0.01;

/// The batch as targets see it; rows are those of [`Parts`](crate::twinflow::Parts).
#[derive(Clone, Debug, Tree)]
pub(super) struct Rows<L> {
    /// `[b, ..]`.
    pub x_t: L,
    /// The path's velocity z - x, with fakes in place of x on adv rows; once guided, that.
    pub velocity: L,
    /// f32 `[b]`; negative on adv rows.
    pub t: L,
    /// f32 `[b]`; r = t on adv rows.
    pub r: L,
    pub condition: Condition<L>,
    pub null_condition: Condition<L>,
}

impl TwinFlowLoss<'_> {
    /// The velocities with classifier-free guidance by the teacher, on real samples whose t lies in the guidance range:
    /// `v + e (F(x_t, t, t, c) - F(x_t, t, t, none))`. Adv rows stay as they are.
    ///
    /// Image-free training with a frozen teacher has no data, so that there the teacher's own guided velocity replaces v.
    pub(super) fn guided_velocity<'t>(&self, teacher: &Params<Tensor<'t>>, batch: &Rows<Tensor<'t>>) -> Tensor<'t> {
        let config = self.config;
        // Rows that no loss term uses, or that sit at t = 1 outside the range, need no pass.
        let first = if config.guides_at(1.0) && config.uses_rcgm() { Part::E2e } else { Part::Mul };
        let last = if config.uses_rcgm() { Part::Any } else { Part::Mul };
        let rows = self.parts.span(first, last);
        if config.guidance == 0.0 || rows.is_empty() {
            return batch.velocity;
        }
        let Rows { x_t, velocity, t, condition, null_condition, .. } = take_rows(batch, &rows);
        let input = DenoiserInput { x: x_t, t, r: t, condition };
        let null_input = DenoiserInput { condition: null_condition, ..input.clone() };
        let both = self.denoiser.velocity(teacher, &stack_rows(&[input, null_input]));
        let (conditional, unconditional) =
            (take_rows(&both, &(0..rows.len())), take_rows(&both, &(rows.len()..2 * rows.len())));
        let start = if config.replaces_velocity() { unconditional } else { velocity };
        let guided = start + config.guidance * (conditional - unconditional);
        let chosen = per_sample(in_guidance_range(config, t), x_t).broadcast_to(x_t.shape());
        replace_rows(batch.velocity, &rows, chosen.select(guided, velocity))
    }

    /// The RCGM target of the e2e, mul and any rows: the prediction, corrected by how far the average velocity from t to
    /// r disagrees with a first step along v and `order` Euler steps from there to r.
    ///
    /// `prediction` is F on these rows, without gradient; `batch.velocity` is guided; `params` are the integral's.
    pub(super) fn rcgm_target<'t>(
        &self,
        params: &Params<Tensor<'t>>,
        batch: &Rows<Tensor<'t>>,
        prediction: Tensor<'t>,
    ) -> Tensor<'t> {
        let order = self.config.order;
        let Rows { x_t, velocity, t, r, condition, .. } = take_rows(batch, &self.parts.span(Part::E2e, Part::Any));
        let after_first = (t - FIRST_STEP).maximum(r);
        let start = (x_t - FIRST_STEP * velocity, velocity.zeros_like());
        let time = |i: usize| after_first + (r - after_first) * (i as f64 / order as f64);
        let from = stack(&(0..order).map(time).collect::<Vec<_>>(), 0);
        let to = stack(&(1..=order).map(time).collect::<Vec<_>>(), 0);
        // A loop, so that the network is compiled once for all sub-steps.
        let ((x, integral), _) = scan(&start, &(from, to), |(x, integral): (Tensor<'t>, Tensor<'t>), (from, to)| {
            let input = DenoiserInput { x, t: from, r: to, condition: condition.clone() };
            let step = self.denoiser.velocity(params, &input) * per_sample(from - to, x);
            ((x - step, integral + step), None::<Tensor<'t>>)
        });
        let span = t - r;
        let short = t.lt(r + FIRST_STEP);
        let prediction_weight = short.select(1.0, span * (1.0 / FIRST_STEP));
        // At r = t the integral is 0, so any finite weight does.
        let safe_span = span.eq(0.0).select(1.0, span);
        let integral_weight = short.select(safe_span.recip(), 1.0 / FIRST_STEP);
        let weighted = per_sample(prediction_weight, x) * prediction - per_sample(integral_weight, x) * integral;
        prediction - (weighted - velocity).clamp(-1.0, 1.0)
    }
}

fn in_guidance_range<'t>(config: &TwinFlowConfig, t: Tensor<'t>) -> Tensor<'t> {
    let [low, high] = config.guidance_range;
    if config.guidance_closed { t.ge(low).and(t.le(high)) } else { t.gt(low).and(t.lt(high)) }
}
