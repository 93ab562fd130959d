//! Training of the classifier that judges samples.

use serde::{Deserialize, Serialize};
use twinflow_array::{DType, HostArray, TensorType, Tree};
use twinflow_compiler::{Key, Tensor, value_and_grad};
use twinflow_models::classifier::Classifier;
use twinflow_nn::{ConfigError, Params};

use crate::optim::{Optimizer, OptimizerConfig, OptimizerState, Schedule};

/// How a classifier is trained. The defaults reach 0.9 on Fashion-MNIST in about a minute on two CPU cores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClassifierTraining {
    /// Share of the features that are left out at random.
    pub dropout: f64,
    /// Images per step.
    pub batch_size: usize,
    /// Passes over the training images.
    pub epochs: u64,
    /// Steps at least, for small datasets.
    pub least_steps: u64,
    /// AdamW's learning rate at its highest; it falls to 0 by half a cosine.
    pub learning_rate: f64,
    /// AdamW's weight decay.
    pub weight_decay: f64,
}

impl Default for ClassifierTraining {
    fn default() -> Self {
        ClassifierTraining {
            dropout: 0.4,
            batch_size: 128,
            epochs: 5,
            least_steps: 400,
            learning_rate: 2e-3,
            weight_decay: 0.05,
        }
    }
}

/// A classifier with its loss and optimizer.
#[derive(Clone, Debug)]
pub struct ClassifierTrainer {
    classifier: Classifier,
    config: ClassifierTraining,
    optimizer: Optimizer,
    steps: u64,
}

/// What training changes.
#[derive(Clone, Debug, Tree)]
pub struct ClassifierState<L> {
    /// Steps done, u32.
    pub step: L,
    /// Of the classifier.
    pub params: Params<L>,
    /// Moments.
    pub optimizer: OptimizerState<L>,
    /// Key of the dropout, u32 `[2]`; constant.
    pub key: L,
}

/// What a step trains on.
#[derive(Clone, Debug, Tree)]
pub struct ClassifierBatch<L> {
    /// f32 in [-1, 1], `[b, height, width, channels]`.
    pub images: L,
    /// i32 `[b]`.
    pub labels: L,
}

impl ClassifierTrainer {
    /// Training on `images` images.
    ///
    /// # Errors
    /// [`ConfigError`] for the first value that is not allowed.
    pub fn new(classifier: Classifier, config: ClassifierTraining, images: usize) -> Result<Self, ConfigError> {
        let steps = (config.epochs * (images / config.batch_size) as u64).max(config.least_steps);
        let optimizer = OptimizerConfig {
            learning_rate: config.learning_rate,
            betas: [0.9, 0.99],
            weight_decay: config.weight_decay,
            clip_norm: 0.0,
            schedule: Schedule::Cosine,
            warmup_steps: 50.min(steps / 2),
            ..OptimizerConfig::default()
        };
        let optimizer = Optimizer::new(optimizer, steps)?;
        Ok(ClassifierTrainer { classifier, config, optimizer, steps })
    }

    /// Steps of the whole training.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Images per step.
    pub fn batch_size(&self) -> usize {
        self.config.batch_size
    }

    /// Types of the state.
    pub fn state_spec(&self) -> ClassifierState<TensorType> {
        let params = self.classifier.parameters().spec();
        ClassifierState {
            step: TensorType::scalar(DType::U32),
            optimizer: self.optimizer.state_spec(&params),
            params,
            key: TensorType::new(DType::U32, [2]),
        }
    }

    /// The state before the first step: a function of the seed alone.
    pub fn init(&self, seed: u64) -> ClassifierState<HostArray> {
        let (parameters, halves) = (self.classifier.parameters(), [(seed >> 32) as u32, seed as u32]);
        ClassifierState {
            step: HostArray::scalar(0u32),
            params: parameters.sample(seed),
            optimizer: self.optimizer.init(&parameters.spec()),
            key: HostArray::from_slice([2], &halves).expect("two numbers"),
        }
    }

    /// Types of a batch.
    pub fn batch_spec(&self) -> ClassifierBatch<TensorType> {
        let batch = self.config.batch_size;
        ClassifierBatch { images: self.classifier.images_spec(batch), labels: TensorType::new(DType::I32, [batch]) }
    }

    /// One step: the state after it, and the mean cross entropy before it. Donate the state.
    #[track_caller]
    pub fn step<'t>(
        &self,
        state: ClassifierState<Tensor<'t>>,
        batch: &ClassifierBatch<Tensor<'t>>,
    ) -> (ClassifierState<Tensor<'t>>, Tensor<'t>) {
        let key = Key::from_tensor(state.key).fold_in(state.step);
        let ((loss, ()), gradients) =
            value_and_grad(&state.params, |params: Params<Tensor<'t>>| (self.loss(&params, batch, key), ()));
        let update = self.optimizer.update(state.step, &state.params, &gradients, &state.optimizer);
        let next =
            ClassifierState { step: state.step + 1.0, params: update.params, optimizer: update.state, key: state.key };
        (next, loss)
    }

    fn loss<'t>(&self, params: &Params<Tensor<'t>>, batch: &ClassifierBatch<Tensor<'t>>, key: Key<'t>) -> Tensor<'t> {
        let drop = |features| dropout(features, self.config.dropout, key);
        let scores = self.classifier.forward_with(params, batch.images, drop).scores;
        let classes = scores.trace().iota(TensorType::new(DType::I32, [self.classifier.classes()]), 0);
        let is_label = batch.labels.expand_dims(-1).eq(classes).convert(DType::F32);
        -(scores.log_softmax(-1) * is_label).sum(&[-1]).mean_all()
    }
}

/// Leaves out each element with probability `rate`, and scales the others so that the mean stays.
fn dropout<'t>(x: Tensor<'t>, rate: f64, key: Key<'t>) -> Tensor<'t> {
    let kept = key.uniform(x.shape()).ge(rate).convert(x.dtype());
    x * kept * (1.0 / (1.0 - rate))
}
