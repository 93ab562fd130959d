//! The random numbers of one TwinFlow step.

use std::ops::Range;

use twinflow_array::{Shape, Tree};
use twinflow_compiler::{Key, Tensor};

use crate::{
    Draw,
    flow::BetaTable,
    rows::take_rows,
    twinflow::{Part, Parts, TwinFlowConfig, Variant},
};

const ANY_TARGET: Draw = Draw::named("any_target");
const MUL_TARGET: Draw = Draw::named("mul_target");
const IMAGE_FREE: Draw = Draw::named("image_free");
const FAKE: Draw = Draw::named("fake");
const RECTIFY_NOISE: Draw = Draw::named("rectify_noise");
const RECTIFY_TIME: Draw = Draw::named("rectify_time");

/// The random numbers of one TwinFlow step; the loss takes them as an argument and draws nothing itself.
#[derive(Clone, Debug, Tree)]
pub struct TwinFlowDraws<L> {
    /// Beta draws before clamp and scale, f32 `[b]`.
    pub time: L,
    /// Uniform, f32 `[b]`: target times of `any` and `adv`.
    pub any_target: L,
    /// Uniform, f32 `[b]`: target times of `mul`.
    pub mul_target: L,
    /// Image-free training: the noise that the whole batch is made from, `[b, ..]`.
    pub image_free: Option<L>,
    /// The noise that the fakes of `adv` are made from, `[adv, ..]`; none if that part is empty.
    pub fake: Option<L>,
    /// The noise at the other end of the path, `[b, ..]`.
    pub noise: L,
    /// For the rectify loss, if it runs.
    pub rectify: Option<RectifyDraws<L>>,
}

/// The random numbers of the rectify loss.
#[derive(Clone, Debug, Tree)]
pub struct RectifyDraws<L> {
    /// Noise, `[e2e, ..]`; of the whole batch in that variant.
    pub noise: L,
    /// Uniform times, f32 `[e2e]`; of the whole batch in that variant.
    pub time: L,
}

impl<'t> TwinFlowDraws<Tensor<'t>> {
    /// Draws for the samples at the given places of the global batch (u32 `[b]`); `sample` is the shape of one sample.
    pub fn new(key: Key<'t>, rows: Tensor<'t>, sample: &Shape, parts: &Parts, config: &TwinFlowConfig) -> Self {
        let [a, b, _] = config.time_distribution;
        let (adv, one_step) =
            (take_rows(&rows, &parts.range(Part::Adv)), take_rows(&rows, &config.one_step_rows(parts)));
        TwinFlowDraws {
            time: BetaTable::new(a, b).quantile(Draw::TIME.uniform(key, rows)),
            any_target: ANY_TARGET.uniform(key, rows),
            mul_target: MUL_TARGET.uniform(key, rows),
            image_free: config.image_free.then(|| IMAGE_FREE.normal(key, rows, sample)),
            fake: (parts.adv > 0).then(|| FAKE.normal(key, adv, sample)),
            noise: Draw::NOISE.normal(key, rows, sample),
            rectify: config.rectifies(parts).then(|| RectifyDraws {
                noise: RECTIFY_NOISE.normal(key, one_step, sample),
                time: RECTIFY_TIME.uniform(key, one_step),
            }),
        }
    }
}

impl TwinFlowConfig {
    /// Whether the rectify loss runs: only at full consistency, on one-step samples, with a weight.
    pub fn rectifies(&self, parts: &Parts) -> bool {
        self.consistency_ratio == 1.0 && !self.one_step_rows(parts).is_empty() && self.rectify_weight > 0.0
    }

    /// The rows that one-step samples are made for.
    fn one_step_rows(&self, parts: &Parts) -> Range<usize> {
        match self.variant {
            Variant::Parts => parts.range(Part::E2e),
            Variant::WholeBatch => 0..parts.batch(),
        }
    }
}
