//! Gradients of a batch.

use twinflow_array::{DType, Shape, Tree, map};
use twinflow_compiler::{Key, Tensor, concatenate, scan, value_and_grad};

use crate::{
    LossTerms, Params,
    flow::{FlowDraws, flow_matching_loss},
    random::Draw,
    step::{Batch, Phase, State, Trainer},
    twinflow::{GuidanceAgainst, Teacher, TeacherKind, TwinFlowDraws, TwinFlowLoss, Variant},
};

/// Gradients of the parameters and the terms of the loss, both means over samples.
#[derive(Clone, Debug, Tree)]
pub(super) struct Gradients<L> {
    pub params: Params<L>,
    pub terms: LossTerms<L>,
}

impl Trainer {
    /// Gradients over the micro-batches of one device.
    pub(super) fn batch_gradients<'t>(
        &self,
        phase: Phase,
        state: &State<Tensor<'t>>,
        batch: &Batch<Tensor<'t>>,
    ) -> Gradients<Tensor<'t>> {
        let key = Key::from_tensor(state.key).fold_in(state.step);
        let count = self.config.micro_batches;
        if count == 1 {
            return self.micro_batch_gradients(phase, state, &map(batch, |_, leaf| leaf.squeeze(0)), key);
        }
        let zeros = self.split(state.step.trace().full(self.flat_gradients_spec(), 0.0));
        let (sum, _) = scan(&zeros, batch, |sum: Gradients<Tensor<'t>>, micro_batch: Batch<Tensor<'t>>| {
            let new = self.micro_batch_gradients(phase, state, &micro_batch, key);
            (add(&sum, &new), None::<Tensor<'t>>)
        });
        map(&sum, |_, leaf| *leaf * (1.0 / count as f64))
    }

    fn micro_batch_gradients<'t>(
        &self,
        phase: Phase,
        state: &State<Tensor<'t>>,
        batch: &Batch<Tensor<'t>>,
        key: Key<'t>,
    ) -> Gradients<Tensor<'t>> {
        let samples = to_unit_range(batch.samples);
        let ((_, terms), params) = value_and_grad(&state.params, |params: Params<Tensor<'t>>| {
            let terms = match phase {
                Phase::FlowMatching => self.flow_matching_terms(&params, samples, batch, key),
                Phase::TwinFlow => self.twinflow_terms(&params, state, samples, batch, key),
            };
            (terms.loss, terms)
        });
        Gradients { params, terms }
    }

    fn flow_matching_terms<'t>(
        &self,
        params: &Params<Tensor<'t>>,
        samples: Tensor<'t>,
        batch: &Batch<Tensor<'t>>,
        key: Key<'t>,
    ) -> LossTerms<Tensor<'t>> {
        let draws = FlowDraws::new(key, batch.rows, &sample_shape(samples), &self.config.flow);
        let network = self.network.as_ref();
        LossTerms::base_only(flow_matching_loss(network, &self.config.flow, params, samples, batch.labels, &draws))
    }

    fn twinflow_terms<'t>(
        &self,
        params: &Params<Tensor<'t>>,
        state: &State<Tensor<'t>>,
        samples: Tensor<'t>,
        batch: &Batch<Tensor<'t>>,
        key: Key<'t>,
    ) -> LossTerms<Tensor<'t>> {
        let (config, network) = (&self.config.twinflow, self.network.as_ref());
        let draws = TwinFlowDraws::new(key, batch.rows, &sample_shape(samples), &self.shard_parts, config);
        let teacher = match (&state.teacher, config.teacher) {
            (Some(teacher), TeacherKind::Ema) => Teacher::Average(teacher),
            (Some(teacher), TeacherKind::Frozen) => Teacher::Frozen(teacher),
            (None, _) | (_, TeacherKind::Live) => Teacher::Live,
        };
        let against = match config.guidance_against {
            GuidanceAgainst::NullClass => network.null_condition(batch.labels),
            GuidanceAgainst::RandomClass => random_classes(self.config.classes, key, batch.rows),
        };
        let conditions = (batch.labels, against);
        let loss = TwinFlowLoss { network, config, parts: self.shard_parts };
        match config.variant {
            Variant::Parts => loss.of_batch(params, teacher, samples, conditions, &draws).0,
            Variant::WholeBatch => loss.of_whole_batch(params, teacher, samples, conditions, &draws),
        }
    }

    /// One f32 vector: the gradients in the parameters' order, then the loss terms.
    pub(super) fn join<'t>(&self, gradients: &Gradients<Tensor<'t>>) -> Tensor<'t> {
        let flat: Vec<Tensor<'t>> =
            twinflow_array::leaves(gradients).into_iter().map(|leaf| leaf.reshape([leaf.shape().elements()])).collect();
        concatenate(&flat, 0)
    }

    /// The inverse of [`Trainer::join`].
    pub(super) fn split<'t>(&self, flat: Tensor<'t>) -> Gradients<Tensor<'t>> {
        let mut start = 0;
        let mut next = |shape: &Shape| {
            let piece = flat.slice_dim(0, start, start + shape.elements()).reshape(shape);
            start += shape.elements();
            piece
        };
        let params = map(&self.parameter_spec(), |_, ty| next(&ty.shape));
        let mut term = || next(&Shape::scalar());
        let (loss, base, adv, rectify, self_play_gap) = (term(), term(), term(), term(), term());
        Gradients { params, terms: LossTerms { loss, base, adv, rectify, self_play_gap } }
    }
}

fn add<'t>(a: &Gradients<Tensor<'t>>, b: &Gradients<Tensor<'t>>) -> Gradients<Tensor<'t>> {
    let mut others = twinflow_array::leaves(b).into_iter();
    map(a, |_, leaf| *leaf + *others.next().expect("both have one structure"))
}

/// A class for each row, i32 `[b]`, all equally likely.
fn random_classes<'t>(classes: usize, key: Key<'t>, rows: Tensor<'t>) -> Tensor<'t> {
    let class = (Draw::GUIDANCE_CLASS.uniform(key, rows) * classes as f64).convert(DType::I32);
    class.minimum((classes - 1) as f64)
}

/// u8 pixels to [-1, 1]; floats are there already.
fn to_unit_range(samples: Tensor<'_>) -> Tensor<'_> {
    match samples.dtype() {
        DType::U8 => samples.convert(DType::F32) * (1.0 / 127.5) - 1.0,
        _ => samples,
    }
}

/// The shape of one sample of `[b, ..]`.
fn sample_shape(samples: Tensor<'_>) -> Shape {
    samples.shape()[1..].into()
}
