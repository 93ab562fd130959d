//! The flow-matching loss (Lipman et al. 2023).

use twinflow_array::{Shape, Tree};
use twinflow_compiler::{Key, Tensor};

use crate::{
    Params,
    flow::{BetaTable, FlowConfig, interpolate, per_sample},
    models::Network,
    random::Draw,
};

/// The random numbers of one flow-matching step.
#[derive(Clone, Debug, Tree)]
pub struct FlowDraws<L> {
    /// Beta draws, f32 `[b]`.
    pub time: L,
    /// Noise, of the samples' shape.
    pub noise: L,
    /// Uniform, f32 `[b]`: below the null-class probability, the condition is dropped.
    pub null_class: L,
}

impl<'t> FlowDraws<Tensor<'t>> {
    /// Draws for the samples at the given places of the global batch (u32 `[b]`); `sample` is the shape of one sample.
    pub fn new(key: Key<'t>, rows: Tensor<'t>, sample: &Shape, config: &FlowConfig) -> Self {
        let [a, b, _] = config.time_distribution;
        FlowDraws {
            time: BetaTable::new(a, b).quantile(Draw::TIME.uniform(key, rows)),
            noise: Draw::NOISE.normal(key, rows, sample),
            null_class: Draw::NULL_CLASS.uniform(key, rows),
        }
    }
}

/// Mean over samples and elements of `(F(x_t, t, r = t, c) - (z - x))^2`.
pub fn flow_matching_loss<'t>(
    network: &dyn Network,
    config: &FlowConfig,
    params: &Params<Tensor<'t>>,
    samples: Tensor<'t>,
    condition: Tensor<'t>,
    draws: &FlowDraws<Tensor<'t>>,
) -> Tensor<'t> {
    let t = draws.time.clamp(0.0, 1.0) * config.time_distribution[2];
    let x_t = interpolate(samples, draws.noise, t);
    let dropped = per_sample(draws.null_class.lt(config.null_class_probability), condition);
    let dropped = dropped.broadcast_to(condition.shape());
    let condition = dropped.select(network.null_condition(condition), condition);
    let velocity = network.velocity(params, x_t, t, t, condition);
    (velocity - (draws.noise - samples)).square().mean_all()
}
