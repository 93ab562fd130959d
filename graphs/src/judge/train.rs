//! The classifier's training step.

use twinflow_array::{DType, HostArray, TensorType, Tree};
use twinflow_compiler::{Key, Tensor, value_and_grad};

use super::{Judge, network::JudgeLayers};
use crate::{Params, optim::OptimizerState};

/// What training changes.
#[derive(Clone, Debug, Tree)]
pub struct JudgeState<L> {
    /// Steps done, u32.
    pub step: L,
    /// The classifier.
    pub params: Params<L>,
    /// Moments.
    pub optimizer: OptimizerState<L>,
    /// Key of the dropout, u32 `[2]`; constant.
    pub key: L,
}

/// What a step trains on.
#[derive(Clone, Debug, Tree)]
pub struct JudgeBatch<L> {
    /// f32 in [-1, 1], `[b, height, width, channels]`.
    pub images: L,
    /// i32 `[b]`.
    pub labels: L,
}

impl Judge {
    /// Types of the state.
    pub fn state_spec(&self) -> JudgeState<TensorType> {
        let params = self.parameter_spec();
        JudgeState {
            step: TensorType::scalar(DType::U32),
            optimizer: self.optimizer.state_spec(&params),
            params,
            key: TensorType::new(DType::U32, [2]),
        }
    }

    /// The state before the first step: a function of the seed alone.
    pub fn init(&self, seed: u64) -> JudgeState<HostArray> {
        let halves = [(seed >> 32) as u32, seed as u32];
        JudgeState {
            step: HostArray::scalar(0u32),
            params: Params::from_tree(self.layers.clone()).sample(seed),
            optimizer: self.optimizer.init(&self.parameter_spec()),
            key: HostArray::from_slice([2], &halves).expect("two numbers"),
        }
    }

    /// Types of a batch.
    pub fn batch_spec(&self) -> JudgeBatch<TensorType> {
        let batch = self.config.batch_size;
        JudgeBatch { images: self.images_spec(batch), labels: TensorType::new(DType::I32, [batch]) }
    }

    /// One step: the state after it, and the mean cross entropy before it. Donate the state.
    #[track_caller]
    pub fn step<'t>(
        &self,
        state: JudgeState<Tensor<'t>>,
        batch: &JudgeBatch<Tensor<'t>>,
    ) -> (JudgeState<Tensor<'t>>, Tensor<'t>) {
        let key = Key::from_tensor(state.key).fold_in(state.step);
        let ((loss, ()), gradients) =
            value_and_grad(&state.params, |params: Params<Tensor<'t>>| (self.loss(&params, batch, key), ()));
        let update = self.optimizer.update(state.step, &state.params, &gradients, &state.optimizer);
        let next =
            JudgeState { step: state.step + 1.0, params: update.params, optimizer: update.state, key: state.key };
        (next, loss)
    }

    fn loss<'t>(&self, params: &Params<Tensor<'t>>, batch: &JudgeBatch<Tensor<'t>>, key: Key<'t>) -> Tensor<'t> {
        let layers: JudgeLayers<Tensor<'t>> = params.to_tree(&self.layers);
        let features = layers.features(batch.images);
        let scores = layers.scores(dropout(features, self.config.dropout, key));
        let classes = scores.trace().iota(TensorType::new(DType::I32, [self.classes]), 0);
        let is_label = batch.labels.expand_dims(-1).eq(classes).convert(DType::F32);
        -(scores.log_softmax(-1) * is_label).sum(&[-1]).mean_all()
    }
}

/// Leaves out each element with probability `rate`, and scales the others so that the mean stays.
fn dropout<'t>(x: Tensor<'t>, rate: f64, key: Key<'t>) -> Tensor<'t> {
    let kept = key.uniform(x.shape()).ge(rate).convert(x.dtype());
    x * kept * (1.0 / (1.0 - rate))
}
