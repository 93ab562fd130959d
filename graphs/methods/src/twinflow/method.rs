//! TwinFlow as a method of training.

use twinflow_array::{DType, Shape, TensorType};
use twinflow_compiler::{Key, Tensor};
use twinflow_nn::{Condition, ConfigError, Params};

use crate::{
    BatchPart, BatchShape, Draw, Loss, LossInputs, Method, Start,
    twinflow::{
        GuidanceAgainst, LossTerms, Parts, Teacher, TeacherKind, TwinFlowConfig, TwinFlowDraws, TwinFlowLoss, Variant,
        teacher::TeacherState,
    },
};

const GUIDANCE_CLASS: Draw = Draw::named("guidance_class");

/// The method, in both variants.
pub struct TwinFlow {
    config: TwinFlowConfig,
    /// The parts of the global batch.
    parts: Parts,
    /// The parts of one device's micro-batch.
    shard_parts: Parts,
    classes: usize,
}

impl TwinFlow {
    /// TwinFlow on batches of this shape.
    ///
    /// # Errors
    /// [`ConfigError`] for the first value that is not allowed, or if a part cannot be dealt out equally.
    pub fn new(config: TwinFlowConfig, batch: BatchShape) -> Result<Self, ConfigError> {
        config.validate()?;
        let parts = Parts::new(config.part_shares(), batch.samples)?;
        let shard_parts = parts.divide(batch.shards)?;
        Ok(TwinFlow { config, parts, shard_parts, classes: batch.classes })
    }

    /// What guidance leads away from.
    fn guided_against<'t>(&self, inputs: &LossInputs<'_, 't>) -> Condition<Tensor<'t>> {
        match self.config.guidance_against {
            GuidanceAgainst::NullClass => inputs.null_condition.clone(),
            GuidanceAgainst::RandomClass => {
                let mut against = inputs.null_condition.clone();
                against.labels = against.labels.map(|_| random_classes(self.classes, inputs.key, inputs.rows));
                against
            }
        }
    }

    /// The typed form of the method's state.
    fn typed_state<'t>(&self, state: &Params<Tensor<'t>>, trained: &Params<TensorType>) -> TeacherState<Tensor<'t>> {
        state.to_tree(&TeacherState::new(&self.config, trained))
    }
}

impl Method for TwinFlow {
    fn name(&self) -> &'static str {
        "twinflow"
    }

    fn terms(&self) -> &'static [&'static str] {
        &LossTerms::<Tensor<'_>>::NAMES
    }

    fn parts(&self) -> Vec<BatchPart> {
        self.parts.named()
    }

    fn state(&self, trained: &Params<TensorType>) -> Params<Start> {
        Params::from_tree(TeacherState::new(&self.config, trained))
    }

    fn loss<'t>(&self, inputs: &LossInputs<'_, 't>) -> Loss<'t> {
        let config = &self.config;
        let sample: Shape = inputs.samples.shape()[1..].into();
        let draws = TwinFlowDraws::new(inputs.key, inputs.rows, &sample, &self.shard_parts, config);
        // The teacher holds the trained parameters alone; the others are the model's own.
        let held = self.typed_state(inputs.state, inputs.trained).teacher;
        let teacher = held.map(|teacher| inputs.params.overlaid_with(&teacher));
        let teacher = match (&teacher, config.teacher) {
            (Some(teacher), TeacherKind::Ema) => Teacher::Average(teacher),
            (Some(teacher), TeacherKind::Frozen) => Teacher::Frozen(teacher),
            (None, _) | (_, TeacherKind::Live) => Teacher::Live,
        };
        let against = self.guided_against(inputs);
        let conditions = (inputs.condition, &against);
        let loss = TwinFlowLoss { denoiser: inputs.denoiser, config, parts: self.shard_parts };
        let terms = match config.variant {
            Variant::Parts => loss.of_batch(inputs.params, teacher, inputs.samples, conditions, &draws).0,
            Variant::WholeBatch => loss.of_whole_batch(inputs.params, teacher, inputs.samples, conditions, &draws),
        };
        terms.into()
    }

    fn after_update<'t>(&self, state: Params<Tensor<'t>>, trained: &Params<Tensor<'t>>) -> Params<Tensor<'t>> {
        let typed = self.typed_state(&state, &trained.types());
        Params::from_tree(typed.after_update(&self.config, trained))
    }
}

/// A class for each row, i32 `[b]`, all equally likely.
fn random_classes<'t>(classes: usize, key: Key<'t>, rows: Tensor<'t>) -> Tensor<'t> {
    let class = (GUIDANCE_CLASS.uniform(key, rows) * classes as f64).convert(DType::I32);
    class.minimum((classes - 1) as f64)
}
