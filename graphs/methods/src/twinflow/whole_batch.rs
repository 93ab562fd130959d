//! The loss of the method's public tutorial: every term on every sample.

use twinflow_array::map;
use twinflow_compiler::Tensor;
use twinflow_nn::{Condition, DenoiserInput, Params};

use crate::{
    flow::interpolate,
    twinflow::{LossTerms, Teacher, TwinFlowDraws, TwinFlowLoss, target::Rows},
};

impl TwinFlowLoss<'_> {
    /// The sum, each term a mean over the whole batch without time weights, of: the RCGM losses of F(x_t, t, r) and, with
    /// the same noise and guided velocity, of F(z, 1, 0); flow matching of F(x_t, t, t) to the guided velocity; the
    /// adversarial loss of the fakes z - F(z, 1, 0), noised by the same z to the same t; the rectify loss of F(z, 1, 0).
    ///
    /// Arguments as for [`TwinFlowLoss::of_batch`]; all rows count as any-step samples.
    pub fn of_whole_batch<'t>(
        &self,
        params: &Params<Tensor<'t>>,
        teacher: Teacher<'_, 't>,
        samples: Tensor<'t>,
        conditions: (&Condition<Tensor<'t>>, &Condition<Tensor<'t>>),
        draws: &TwinFlowDraws<Tensor<'t>>,
    ) -> LossTerms<Tensor<'t>> {
        let live = map(params, |_, parameter| parameter.stop_gradient());
        let (guide, integrand) = teacher.roles(&live);
        let trace = samples.trace();
        let any_step = trace.scope("fakes", || self.noise_samples(&live, samples, conditions, draws));
        let Rows { x_t, t, r, .. } = any_step;
        let velocity = trace.scope("guidance", || self.guided_velocity(guide, &any_step));
        let any_step = Rows { velocity, ..any_step };
        let one_step = Rows { x_t: draws.noise, t: t.full_like(1.0), r: t.zeros_like(), ..any_step.clone() };

        let predict = |x, t, r| {
            let input = DenoiserInput { x, t, r, condition: any_step.condition.clone() };
            trace.scope("main", || self.denoiser.velocity(params, &input))
        };
        let distance = |prediction, target| self.config.distance().per_sample(prediction, target).mean_all();
        let rcgm_loss = |rows: &Rows<Tensor<'t>>, prediction: Tensor<'t>| {
            let fixed = prediction.stop_gradient();
            distance(prediction, trace.scope("target", || self.rcgm_target(integrand, rows, fixed)))
        };
        let one_step_prediction = predict(one_step.x_t, one_step.t, one_step.r);
        let base = rcgm_loss(&any_step, predict(x_t, t, r))
            + rcgm_loss(&one_step, one_step_prediction)
            + distance(predict(x_t, t, t), velocity);
        let fake = (draws.noise - one_step_prediction).stop_gradient();
        let adv = distance(predict(interpolate(fake, draws.noise, t), -t, -t), draws.noise - fake);
        let difference = draws.rectify.as_ref().map(|draws| {
            trace.scope("rectify", || self.velocity_difference(&live, fake, any_step.condition.clone(), draws))
        });
        self.terms(base, adv, one_step_prediction, difference)
    }
}
