//! What the main pass sees: times, fakes and noised samples of every part.

use twinflow_compiler::Tensor;
use twinflow_nn::{Condition, DenoiserInput, Params};

use crate::{
    flow::interpolate,
    rows::{replace_rows, stack_rows, take_rows},
    twinflow::{Part, TwinFlowDraws, TwinFlowLoss, target::Rows},
};

/// Target times of `mul` lie at most this share of t below t.
const MUL_REACH: f64 = 0.05;

impl TwinFlowLoss<'_> {
    /// Noises the samples: data (or, image-free, one-step samples), and the model's own fakes on adv rows at times -t.
    ///
    /// `live` is the model without gradient.
    pub(super) fn noise_samples<'t>(
        &self,
        live: &Params<Tensor<'t>>,
        samples: Tensor<'t>,
        (condition, null_condition): (&Condition<Tensor<'t>>, &Condition<Tensor<'t>>),
        draws: &TwinFlowDraws<Tensor<'t>>,
    ) -> Rows<Tensor<'t>> {
        let (t, r) = self.times(draws);
        let one_step = |z, condition| self.one_step_sample(live, z, condition);
        let x = draws.image_free.map_or(samples, |z| one_step(z, condition.clone()));
        let adv = self.parts.range(Part::Adv);
        let x = draws.fake.map_or(x, |z| replace_rows(x, &adv, one_step(z, take_rows(condition, &adv))));
        let (x_t, velocity) = (interpolate(x, draws.noise, t), draws.noise - x);
        let (t, r) = if adv.is_empty() {
            (t, r)
        } else {
            let twin_time = -take_rows(&t, &adv);
            (replace_rows(t, &adv, twin_time), replace_rows(r, &adv, twin_time))
        };
        Rows { x_t, velocity, t, r, condition: condition.clone(), null_condition: null_condition.clone() }
    }

    /// `z - F(z, 1, 0, c)`: a sample by one network call.
    fn one_step_sample<'t>(
        &self,
        live: &Params<Tensor<'t>>,
        z: Tensor<'t>,
        condition: Condition<Tensor<'t>>,
    ) -> Tensor<'t> {
        let t = z.trace().full(z.ty().with_shape([z.dim(0)]), 1.0);
        z - self.denoiser.velocity(live, &DenoiserInput { x: z, t, r: t.zeros_like(), condition })
    }

    /// t and r of each part, before adv turns to negative times.
    fn times<'t>(&self, draws: &TwinFlowDraws<Tensor<'t>>) -> (Tensor<'t>, Tensor<'t>) {
        let (config, parts) = (self.config, self.parts);
        let consistency = config.consistency_ratio;
        let t = draws.time.clamp(0.0, 1.0) * config.time_distribution[2];
        let r_any = t - draws.any_target * consistency * t;
        let r_mul = t - draws.mul_target * t * consistency.min(MUL_REACH);
        let (e2e, mul, rest) = (parts.range(Part::E2e), parts.range(Part::Mul), parts.span(Part::Any, Part::Adv));
        let e2e_zero = take_rows(&t, &e2e).zeros_like();
        let t = stack_rows(&[e2e_zero + 1.0, take_rows(&t, &(e2e.end..parts.batch()))]);
        let r = stack_rows(&[e2e_zero, take_rows(&r_mul, &mul), take_rows(&r_any, &rest)]);
        (t, r)
    }
}
