//! The classifier's layers.

use serde::{Deserialize, Serialize};
use twinflow_array::{TensorType, Tree};
use twinflow_compiler::Tensor;

use crate::{
    ConfigError, Init, Params,
    error::{require, require_multiple},
    nn::{Conv2d, Linear},
    optim::{Optimizer, OptimizerConfig, Schedule},
};

/// Side of the blocks of pixels that become channels before each of the two convolutions.
const BLOCK: usize = 2;

/// Size and training of the classifier. The defaults reach 0.9 on Fashion-MNIST in about a minute on two CPU cores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JudgeConfig {
    /// Channels after each convolution.
    pub channels: [usize; 2],
    /// Width of the layer below the class scores, whose values are the features.
    pub features: usize,
    /// Share of the features that are left out at random while training.
    pub dropout: f64,
    /// Images per training step.
    pub batch_size: usize,
    /// Passes over the training images.
    pub epochs: u64,
    /// Training steps at least, for small datasets.
    pub least_steps: u64,
    /// AdamW's learning rate at its highest; it falls to 0 by half a cosine.
    pub learning_rate: f64,
    /// AdamW's weight decay.
    pub weight_decay: f64,
}

impl Default for JudgeConfig {
    fn default() -> Self {
        JudgeConfig {
            channels: [32, 64],
            features: 128,
            dropout: 0.4,
            batch_size: 128,
            epochs: 5,
            least_steps: 400,
            learning_rate: 2e-3,
            weight_decay: 0.05,
        }
    }
}

/// The classifier of images `[height, width, channels]` f32 in [-1, 1].
#[derive(Clone, Debug)]
pub struct Judge {
    pub(super) config: JudgeConfig,
    pub(super) layers: JudgeLayers<Init>,
    pub(super) optimizer: Optimizer,
    sample: [usize; 3],
    pub(super) classes: usize,
    steps: u64,
}

/// The parameters.
#[derive(Clone, Debug, Tree)]
pub(super) struct JudgeLayers<L> {
    first: Conv2d<L>,
    second: Conv2d<L>,
    features: Linear<L>,
    scores: Linear<L>,
}

/// What the classifier says of images.
#[derive(Clone, Debug, Tree)]
pub struct Verdict<L> {
    /// The layer below the class scores, f32 `[b, features]`.
    pub features: L,
    /// Scores of the classes before softmax, f32 `[b, classes]`.
    pub scores: L,
}

impl Judge {
    /// A classifier to be trained on `images` images of shape `sample`.
    ///
    /// # Errors
    /// [`ConfigError`] if height and width are no multiples of 4, or there is only one class.
    pub fn new(config: JudgeConfig, sample: [usize; 3], classes: usize, images: usize) -> Result<Self, ConfigError> {
        let side = BLOCK * BLOCK;
        require_multiple("data.height", sample[0], "the judge's reduction", side)?;
        require_multiple("data.width", sample[1], "the judge's reduction", side)?;
        require(classes > 1, "data.classes", classes, "at least 2 classes can be told apart")?;
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
        let layers = JudgeLayers::new(&config, sample, classes);
        Ok(Judge { config, layers, optimizer, sample, classes, steps })
    }

    /// Training steps.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Types of the parameters.
    pub fn parameter_spec(&self) -> Params<TensorType> {
        Params::from_tree(self.layers.clone()).spec()
    }

    /// Type of `batch` images.
    pub fn images_spec(&self, batch: usize) -> TensorType {
        let [height, width, channels] = self.sample;
        TensorType::f32([batch, height, width, channels])
    }

    /// Images `[b, height, width, channels]` -> features and class scores.
    #[track_caller]
    pub fn verdict<'t>(&self, params: &Params<Tensor<'t>>, images: Tensor<'t>) -> Verdict<Tensor<'t>> {
        let layers: JudgeLayers<Tensor<'t>> = params.to_tree(&self.layers);
        let features = layers.features(images);
        Verdict { features, scores: layers.scores(features) }
    }
}

impl JudgeLayers<Init> {
    fn new(config: &JudgeConfig, [height, width, channels]: [usize; 3], classes: usize) -> Self {
        let JudgeConfig { channels: [first, second], features, .. } = *config;
        let area = BLOCK * BLOCK;
        let flat = height * width / (area * area) * second;
        JudgeLayers {
            first: Conv2d::he(3, area * channels, first),
            second: Conv2d::he(2, area * first, second),
            features: Linear::normal(flat, features, (2.0 / flat as f64).sqrt()),
            scores: Linear::xavier(features, classes),
        }
    }
}

impl<'t> JudgeLayers<Tensor<'t>> {
    pub(super) fn features(&self, x_bhwc: Tensor<'t>) -> Tensor<'t> {
        let x_bhwc = self.first.forward(blocks_to_channels(x_bhwc)).relu();
        let x_bhwc = self.second.forward(blocks_to_channels(x_bhwc)).relu();
        let batch = x_bhwc.dim(0);
        let flat = x_bhwc.shape().elements() / batch;
        self.features.forward(x_bhwc.reshape([batch, flat])).relu()
    }

    pub(super) fn scores(&self, features: Tensor<'t>) -> Tensor<'t> {
        self.scores.forward(features)
    }
}

/// `[b, h, w, c] -> [b, h/2, w/2, 4 c]`: with it a dense convolution does what one with stride 2 does, whose gradient is
/// slow on CPUs.
fn blocks_to_channels(x_bhwc: Tensor<'_>) -> Tensor<'_> {
    let [b, h, w, c] = [0, 1, 2, 3].map(|dim| x_bhwc.dim(dim));
    let blocks = x_bhwc.reshape([b, h / BLOCK, BLOCK, w / BLOCK, BLOCK, c]);
    blocks.transpose(&[0, 1, 3, 2, 4, 5]).reshape([b, h / BLOCK, w / BLOCK, BLOCK * BLOCK * c])
}
