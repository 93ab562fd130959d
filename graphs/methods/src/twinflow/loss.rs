//! The TwinFlow loss of a batch.

use std::f64::consts::PI;

use twinflow_array::{Tree, map};
use twinflow_compiler::Tensor;
use twinflow_nn::{Condition, Denoiser, DenoiserInput, Params};

use crate::{
    Loss,
    flow::clean_estimate,
    rows::{stack_rows, take_rows},
    twinflow::{Part, Parts, Teacher, TwinFlowConfig, TwinFlowDraws, target::Rows},
};

/// What the loss consists of, f32 scalars: it is the sum of the first three.
#[derive(Clone, Debug, Tree)]
pub struct LossTerms<L> {
    /// Share of the e2e, mul and any samples.
    pub base: L,
    /// Share of the adv samples.
    pub adv: L,
    /// Rectify loss, times its weight.
    pub rectify: L,
    /// Mean over the e2e samples of the root mean square of v_fake - v_real, before the clamp; 0 without rectify.
    pub self_play_gap: L,
}

impl<L> LossTerms<L> {
    /// The terms' names in metrics, in the order of the fields.
    pub const NAMES: [&'static str; 4] = ["loss_base", "loss_adversarial", "loss_rectify", "self_play_gap"];
}

impl<'t> LossTerms<Tensor<'t>> {
    /// What is minimised.
    pub fn total(&self) -> Tensor<'t> {
        self.base + self.adv + self.rectify
    }
}

impl<'t> From<LossTerms<Tensor<'t>>> for Loss<'t> {
    fn from(terms: LossTerms<Tensor<'t>>) -> Self {
        let total = terms.total();
        let LossTerms { base, adv, rectify, self_play_gap } = terms;
        Loss { total, terms: vec![base, adv, rectify, self_play_gap] }
    }
}

/// The loss for a network, its options and the batch's parts.
#[derive(Clone, Copy)]
pub struct TwinFlowLoss<'a> {
    /// F, the average velocity.
    pub denoiser: &'a dyn Denoiser,
    /// Options.
    pub config: &'a TwinFlowConfig,
    /// Sizes of the batch's parts.
    pub parts: Parts,
}

/// What is computed on the way to the loss.
#[derive(Clone, Debug, Tree)]
pub struct Intermediates<L> {
    /// Noised samples `[b, ..]`.
    pub x_t: L,
    /// Times f32 `[b]`, negative on adv rows.
    pub t: L,
    /// Target times f32 `[b]`.
    pub r: L,
    /// The main pass F(x_t, t, r, c).
    pub prediction: L,
    /// z - x, with fakes in place of x on adv rows.
    pub velocity: L,
    /// The velocity with guidance.
    pub guided_velocity: L,
    /// The RCGM target, zero on adv rows; none at order 0.
    pub rcgm_target: Option<L>,
    /// What the rectify loss scores: the main pass's clean estimates of the e2e rows.
    pub clean_estimate: Option<L>,
    /// v_real - v_fake at those, clamped.
    pub velocity_difference: Option<L>,
}

impl TwinFlowLoss<'_> {
    /// The loss of one batch, in the order e2e, mul, any, adv, with everything computed on the way.
    ///
    /// `samples` and `conditions` (the one asked for, and none) `[b, ..]`. Only the main pass has a gradient.
    pub fn of_batch<'t>(
        &self,
        params: &Params<Tensor<'t>>,
        teacher: Teacher<'_, 't>,
        samples: Tensor<'t>,
        conditions: (&Condition<Tensor<'t>>, &Condition<Tensor<'t>>),
        draws: &TwinFlowDraws<Tensor<'t>>,
    ) -> (LossTerms<Tensor<'t>>, Intermediates<Tensor<'t>>) {
        let (config, parts) = (self.config, self.parts);
        let live = map(params, |_, parameter| parameter.stop_gradient());
        let (guide, integrand) = teacher.roles(&live);
        let trace = samples.trace();
        let batch = trace.scope("fakes", || self.noise_samples(&live, samples, conditions, draws));
        let Rows { x_t, velocity, t, r, .. } = batch;
        let input = DenoiserInput { x: x_t, t, r, condition: batch.condition.clone() };
        let prediction = trace.scope("main", || self.denoiser.velocity(params, &input));
        let guided = trace.scope("guidance", || self.guided_velocity(guide, &batch));
        let batch = Rows { velocity: guided, ..batch };
        let real_prediction = take_rows(&prediction, &parts.span(Part::E2e, Part::Any)).stop_gradient();
        let rcgm = || self.rcgm_target(integrand, &batch, real_prediction);
        let target = config.uses_rcgm().then(|| trace.scope("target", rcgm));
        let (base, adv) = self.base_and_adv(prediction, target, &batch);
        let rectified = draws.rectify.as_ref().map(|draws| {
            let rows = parts.range(Part::E2e);
            let clean = take_rows(&clean_estimate(x_t, t, prediction), &rows).stop_gradient();
            let rectify = || self.velocity_difference(&live, clean, take_rows(&batch.condition, &rows), draws);
            (clean, trace.scope("rectify", rectify))
        });
        let difference = rectified.map(|(_, difference)| difference);
        let one_step = take_rows(&prediction, &parts.range(Part::E2e));
        let terms = self.terms(base, adv, one_step, difference);
        let of_whole_batch =
            |target: Tensor<'t>| stack_rows(&[target, take_rows(&prediction, &parts.range(Part::Adv)).zeros_like()]);
        let intermediates = Intermediates {
            x_t,
            t,
            r,
            prediction,
            velocity,
            guided_velocity: guided,
            rcgm_target: target.map(of_whole_batch),
            clean_estimate: rectified.map(|(clean, _)| clean),
            velocity_difference: difference.map(|difference| self.clamp(difference)),
        };
        (terms, intermediates)
    }

    /// The base loss of real samples and the loss of adv samples, each summed over its samples and divided by the
    /// number of all that take part. With an RCGM target those are all samples; without, e2e and any have none.
    fn base_and_adv<'t>(
        &self,
        prediction: Tensor<'t>,
        target: Option<Tensor<'t>>,
        batch: &Rows<Tensor<'t>>,
    ) -> (Tensor<'t>, Tensor<'t>) {
        let (parts, distance) = (self.parts, self.config.distance());
        let (adv, real) = match target {
            Some(_) => (parts.range(Part::Adv), parts.span(Part::E2e, Part::Any)),
            None => (parts.range(Part::Adv), parts.range(Part::Mul)),
        };
        let count = (adv.len() + real.len()) as f64;
        let zero = prediction.trace().scalar(prediction.dtype(), 0.0);
        let sum = |rows: &std::ops::Range<usize>, target: Tensor<'t>| {
            distance.per_sample(take_rows(&prediction, rows), target)
        };
        let base = if real.is_empty() {
            zero
        } else {
            let target = target.unwrap_or_else(|| take_rows(&batch.velocity, &real));
            let weight = time_weight(take_rows(&batch.t, &real), take_rows(&batch.r, &real));
            (weight * sum(&real, target)).sum_all() / count
        };
        let adv = if adv.is_empty() { zero } else { sum(&adv, take_rows(&batch.velocity, &adv)).sum_all() / count };
        (base, adv)
    }

    /// Puts the terms together; `prediction` is F of the one-step samples, `difference` v_real - v_fake at them, if the
    /// rectify loss runs.
    pub(super) fn terms<'t>(
        &self,
        base: Tensor<'t>,
        adv: Tensor<'t>,
        prediction: Tensor<'t>,
        difference: Option<Tensor<'t>>,
    ) -> LossTerms<Tensor<'t>> {
        let Some(difference) = difference else {
            let zero = base.zeros_like();
            return LossTerms { base, adv, rectify: zero, self_play_gap: zero };
        };
        let target = prediction.stop_gradient() + self.clamp(difference);
        let distance = self.config.distance().per_sample(prediction, target).mean_all();
        let rectify = distance * self.config.rectify_weight;
        let dims: Vec<isize> = (1..difference.rank() as isize).collect();
        let self_play_gap = difference.square().mean(&dims).sqrt().mean_all();
        LossTerms { base, adv, rectify, self_play_gap }
    }

    fn clamp<'t>(&self, difference: Tensor<'t>) -> Tensor<'t> {
        difference.clamp(-self.config.rectify_clamp, self.config.rectify_clamp)
    }
}

/// `tan((1 - (|t| - |r|)) pi / 2.5) + 1`: the nearer r is to t, the more a sample counts.
fn time_weight<'t>(t: Tensor<'t>, r: Tensor<'t>) -> Tensor<'t> {
    ((1.0 - (t.abs() - r.abs())) * (PI / 2.5)).tan() + 1.0
}
