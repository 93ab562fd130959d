//! Flow matching (Lipman et al. 2023): the velocity of data, at r = t.

use serde::{Deserialize, Serialize};
use twinflow_array::{Shape, TensorType, Tree, leaves, unflatten};
use twinflow_compiler::{Key, Tensor};
use twinflow_nn::{Condition, ConfigError, DenoiserInput, Params, require};

use crate::{
    BatchPart, BatchShape, Draw, Loss, LossInputs, Method, Start,
    flow::{BetaTable, interpolate, per_sample, require_time_distribution},
};

const NULL_CLASS: Draw = Draw::named("null_class");

/// `[flow]`: the flow-matching phase that comes before TwinFlow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FlowConfig {
    /// Length of the flow-matching phase in steps; TwinFlow follows until `train.steps`.
    pub steps: u64,
    /// `[a, b, scale]`: times are Beta(a, b) draws times scale. Public name: `time_dist_ctrl`.
    #[serde(alias = "time_dist_ctrl")]
    pub time_distribution: [f64; 3],
    /// How often a sample is shown without its class, so that the model learns the unconditional velocity too.
    pub null_class_probability: f64,
}

impl Default for FlowConfig {
    fn default() -> Self {
        FlowConfig { steps: 0, time_distribution: [1.0, 1.0, 1.0], null_class_probability: 0.1 }
    }
}

impl FlowConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for the first value that is not allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        require_time_distribution("flow.time_distribution", self.time_distribution)?;
        let p = self.null_class_probability;
        require((0.0..=1.0).contains(&p), "flow.null_class_probability", p, "0 to 1")
    }
}

/// The first phase of every run (Lipman et al. 2023): regression of the velocity z - x at r = t.
pub struct FlowMatching {
    config: FlowConfig,
    batch: usize,
}

impl FlowMatching {
    /// Flow matching on batches of this shape.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for the first value that is not allowed.
    pub fn new(config: FlowConfig, batch: BatchShape) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(FlowMatching { config, batch: batch.samples })
    }
}

impl Method for FlowMatching {
    fn name(&self) -> &'static str {
        "flow"
    }

    fn terms(&self) -> &'static [&'static str] {
        &["loss_base"]
    }

    fn parts(&self) -> Vec<BatchPart> {
        vec![BatchPart { name: "whole", size: self.batch }]
    }

    fn state(&self, _: &Params<TensorType>) -> Params<Start> {
        Params::from_pairs([])
    }

    fn loss<'t>(&self, inputs: &LossInputs<'_, 't>) -> Loss<'t> {
        let sample: Shape = inputs.samples.shape()[1..].into();
        let total =
            flow_matching_loss(&self.config, inputs, &FlowDraws::new(inputs.key, inputs.rows, &sample, &self.config));
        Loss { total, terms: vec![total] }
    }

    fn after_update<'t>(&self, state: Params<Tensor<'t>>, _: &Params<Tensor<'t>>) -> Params<Tensor<'t>> {
        state
    }
}

/// The random numbers of one step.
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
            null_class: NULL_CLASS.uniform(key, rows),
        }
    }
}

/// Mean over samples and elements of `(F(x_t, t, r = t, c) - (z - x))^2`.
fn flow_matching_loss<'t>(
    config: &FlowConfig,
    inputs: &LossInputs<'_, 't>,
    draws: &FlowDraws<Tensor<'t>>,
) -> Tensor<'t> {
    let LossInputs { samples, condition, null_condition, .. } = *inputs;
    let t = draws.time.clamp(0.0, 1.0) * config.time_distribution[2];
    let x = interpolate(samples, draws.noise, t);
    let dropped = draws.null_class.lt(config.null_class_probability);
    let condition = drop_condition(dropped, condition, null_condition);
    let velocity = inputs.denoiser.velocity(inputs.params, &DenoiserInput { x, t, r: t, condition });
    (velocity - (draws.noise - samples)).square().mean_all()
}

/// `null` in the rows where `dropped` (bool `[b]`) holds.
fn drop_condition<'t>(
    dropped: Tensor<'t>,
    condition: &Condition<Tensor<'t>>,
    null: &Condition<Tensor<'t>>,
) -> Condition<Tensor<'t>> {
    let chosen = leaves(condition)
        .into_iter()
        .zip(leaves(null))
        .map(|(value, null)| per_sample(dropped, *value).broadcast_to(value.shape()).select(*null, *value));
    unflatten(condition, chosen.collect::<Vec<_>>())
}
