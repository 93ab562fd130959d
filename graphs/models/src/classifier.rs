//! A small convolutional classifier: what class an image shows, and where it lies in the classifier's feature space.

use serde::{Deserialize, Serialize};
use twinflow_array::{TensorType, Tree};
use twinflow_compiler::Tensor;
use twinflow_nn::{ConfigError, Conv2d, Init, Linear, Params, require, require_multiple};

/// Side of the blocks of pixels that become channels before each of the two convolutions.
const BLOCK: usize = 2;

/// Sizes of a [`Classifier`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClassifierConfig {
    /// Channels after each convolution.
    pub channels: [usize; 2],
    /// Width of the layer below the class scores, whose values are the features.
    pub features: usize,
}

impl Default for ClassifierConfig {
    fn default() -> Self {
        ClassifierConfig { channels: [32, 64], features: 128 }
    }
}

/// The classifier of images `[height, width, channels]` f32 in [-1, 1].
#[derive(Clone, Debug)]
pub struct Classifier {
    layers: ClassifierLayers<Init>,
    sample: [usize; 3],
    classes: usize,
}

#[derive(Clone, Debug, Tree)]
struct ClassifierLayers<L> {
    first: Conv2d<L>,
    second: Conv2d<L>,
    features: Linear<L>,
    scores: Linear<L>,
}

/// What the classifier says of images.
#[derive(Clone, Debug, Tree)]
pub struct ClassifierOutput<L> {
    /// The layer below the class scores, f32 `[b, features]`.
    pub features: L,
    /// Scores of the classes before softmax, f32 `[b, classes]`.
    pub scores: L,
}

impl Classifier {
    /// A classifier of images of shape `sample`.
    ///
    /// # Errors
    /// [`ConfigError`] if height and width are no multiples of 4, or there is only one class.
    pub fn new(config: &ClassifierConfig, sample: [usize; 3], classes: usize) -> Result<Self, ConfigError> {
        let side = BLOCK * BLOCK;
        require_multiple("data.height", sample[0], "the classifier's reduction", side)?;
        require_multiple("data.width", sample[1], "the classifier's reduction", side)?;
        require(classes > 1, "data.classes", classes, "at least 2 classes can be told apart")?;
        Ok(Classifier { layers: ClassifierLayers::new(config, sample, classes), sample, classes })
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Types and first values of the parameters.
    pub fn parameters(&self) -> Params<Init> {
        Params::from_tree(self.layers.clone())
    }

    /// Type of `batch` images.
    pub fn images_spec(&self, batch: usize) -> TensorType {
        let [height, width, channels] = self.sample;
        TensorType::f32([batch, height, width, channels])
    }

    /// Images `[b, height, width, channels]` -> features `[b, features]` and class scores `[b, classes]`.
    #[track_caller]
    pub fn forward<'t>(&self, params: &Params<Tensor<'t>>, images: Tensor<'t>) -> ClassifierOutput<Tensor<'t>> {
        self.forward_with(params, images, |features| features)
    }

    /// [`Classifier::forward`], with the features changed by `f` (as by dropout) before the scores are taken of them.
    #[track_caller]
    pub fn forward_with<'t>(
        &self,
        params: &Params<Tensor<'t>>,
        images: Tensor<'t>,
        f: impl FnOnce(Tensor<'t>) -> Tensor<'t>,
    ) -> ClassifierOutput<Tensor<'t>> {
        let layers: ClassifierLayers<Tensor<'t>> = params.to_tree(&self.layers);
        let features = f(layers.features(images));
        ClassifierOutput { features, scores: layers.scores.forward(features) }
    }
}

impl ClassifierLayers<Init> {
    fn new(config: &ClassifierConfig, [height, width, channels]: [usize; 3], classes: usize) -> Self {
        let ClassifierConfig { channels: [first, second], features } = *config;
        let area = BLOCK * BLOCK;
        let flat = height * width / (area * area) * second;
        ClassifierLayers {
            first: Conv2d::he(3, area * channels, first),
            second: Conv2d::he(2, area * first, second),
            features: Linear::normal(flat, features, (2.0 / flat as f64).sqrt()),
            scores: Linear::xavier(features, classes),
        }
    }
}

impl<'t> ClassifierLayers<Tensor<'t>> {
    fn features(&self, x_bhwc: Tensor<'t>) -> Tensor<'t> {
        let x_bhwc = self.first.forward(blocks_to_channels(x_bhwc)).relu();
        let x_bhwc = self.second.forward(blocks_to_channels(x_bhwc)).relu();
        let batch = x_bhwc.dim(0);
        let flat = x_bhwc.shape().elements() / batch;
        self.features.forward(x_bhwc.reshape([batch, flat])).relu()
    }
}

/// `[b, h, w, c] -> [b, h/2, w/2, 4 c]`: with it a dense convolution does what one with stride 2 does, whose gradient is
/// slow on CPUs.
fn blocks_to_channels(x_bhwc: Tensor<'_>) -> Tensor<'_> {
    let [b, h, w, c] = [0, 1, 2, 3].map(|dim| x_bhwc.dim(dim));
    let blocks = x_bhwc.reshape([b, h / BLOCK, BLOCK, w / BLOCK, BLOCK, c]);
    blocks.transpose(&[0, 1, 3, 2, 4, 5]).reshape([b, h / BLOCK, w / BLOCK, BLOCK * BLOCK * c])
}
