//! The U-Net of the method's public tutorial, of two times: convolutions that halve and double the picture, joined at
//! equal sizes; times and class enter as a bias at the smallest one.
//!
//! Suffixes: b batch, h height, w width, c channels, d width of the embeddings.

use serde::{Deserialize, Serialize};
use twinflow_array::Tree;
use twinflow_compiler::{Tensor, concatenate};
use twinflow_nn::{
    ClassEmbedding, ConfigError, Conv2d, ConvTranspose2d, Denoiser, DenoiserInput, GroupNorm, Init, Linear, Params,
    require, require_multiple,
};

use crate::denoisers::DataSpec;

/// `[model]` with `kind = "unet"`. The defaults are the tutorial's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UnetConfig {
    /// Channels of the first level.
    pub channels: usize,
    /// Each level's channels over `channels`, the smallest pictures' last; height and width halve from level to level.
    pub multipliers: Vec<usize>,
    /// Width of the embeddings of t, of r and of the class.
    pub embedding: usize,
    /// Groups of the group norm after each level's first convolution, a divisor of its channels; 0 is no norm.
    pub groups: usize,
}

impl Default for UnetConfig {
    fn default() -> Self {
        UnetConfig { channels: 64, multipliers: vec![1, 2, 4], embedding: 64, groups: 0 }
    }
}

impl UnetConfig {
    /// Builds it for samples of `data`, whose height and width the halvings must divide.
    ///
    /// # Errors
    /// [`ConfigError`] if a value is not allowed or does not fit the samples.
    pub fn build(&self, data: DataSpec) -> Result<Unet, ConfigError> {
        let UnetConfig { channels, multipliers, embedding, groups } = self;
        require(*channels > 0, "model.channels", channels, "at least 1")?;
        require(*embedding > 0, "model.embedding", embedding, "at least 1")?;
        let levels = multipliers.len();
        let usable = (2..=16).contains(&levels) && multipliers.iter().all(|multiplier| *multiplier > 0);
        require(usable, "model.multipliers", multipliers, "2 to 16 numbers, each at least 1")?;
        if *groups > 0 {
            require_multiple("model.channels", *channels, "model.groups", *groups)?;
        }
        let reduction = 1 << (levels - 1);
        require_multiple("data.height", data.sample[0], "the halvings 2^(levels - 1) of model.multipliers", reduction)?;
        require_multiple("data.width", data.sample[1], "the halvings 2^(levels - 1) of model.multipliers", reduction)?;
        Ok(Unet { layers: self.layers(&data) })
    }

    fn layers(&self, data: &DataSpec) -> UnetLayers<Init> {
        let widths: Vec<usize> = self.multipliers.iter().map(|multiplier| multiplier * self.channels).collect();
        let norm = |channels| (self.groups > 0).then(|| GroupNorm::new(channels, self.groups));
        let (pixel, last) = (data.sample[2], widths.len() - 1);
        let down = |i: usize| DownLevel {
            conv: Conv2d::he(3, if i == 0 { pixel } else { widths[i - 1] }, widths[i]),
            norm: norm(widths[i]),
            halve: Conv2d::he(4, widths[i], widths[i]).with_stride(2),
        };
        let up = |i: usize| UpLevel {
            double: ConvTranspose2d::he(4, 2, widths[i + 1] + widths[i], widths[i]),
            norm: norm(widths[i]),
            conv: Conv2d::he(3, widths[i], widths[i]),
        };
        UnetLayers {
            conditioning: Conditioning::new(self.embedding, data.classes, widths[last]),
            down: (0..last).map(down).collect(),
            middle: Conv2d::he(3, widths[last - 1], widths[last]),
            up: (0..last).rev().map(up).collect(),
            output: Conv2d::zeros(3, widths[0], pixel),
        }
    }
}

/// A [`UnetConfig`] for samples of a size.
#[derive(Clone, Debug)]
pub struct Unet {
    layers: UnetLayers<Init>,
}

#[derive(Clone, Debug, Tree)]
struct UnetLayers<L> {
    #[tree(name = "told")]
    conditioning: Conditioning<L>,
    /// From large pictures to small ones.
    down: Vec<DownLevel<L>>,
    middle: Conv2d<L>,
    /// From small pictures to large ones.
    up: Vec<UpLevel<L>>,
    output: Conv2d<L>,
}

/// The embeddings of both times and of the class.
#[derive(Clone, Debug, Tree)]
struct Conditioning<L> {
    time: TimeLayers<L>,
    target_time: TimeLayers<L>,
    class_embedding: ClassEmbedding<L>,
    /// All three embeddings -> channels of the smallest level.
    projection: Linear<L>,
}

/// An embedding of the bare number t in [-1, 1].
#[derive(Clone, Debug, Tree)]
struct TimeLayers<L> {
    /// 1 -> width.
    up: Linear<L>,
    /// width -> width.
    down: Linear<L>,
}

/// `[b, h, w, in] -> [b, h/2, w/2, out]`.
#[derive(Clone, Debug, Tree)]
struct DownLevel<L> {
    conv: Conv2d<L>,
    norm: Option<GroupNorm<L>>,
    halve: Conv2d<L>,
}

/// `[b, h, w, in] -> [b, 2 h, 2 w, out]`.
#[derive(Clone, Debug, Tree)]
struct UpLevel<L> {
    double: ConvTranspose2d<L>,
    norm: Option<GroupNorm<L>>,
    conv: Conv2d<L>,
}

impl Denoiser for Unet {
    fn parameters(&self) -> Params<Init> {
        Params::from_tree(self.layers.clone())
    }

    fn velocity<'t>(&self, params: &Params<Tensor<'t>>, input: &DenoiserInput<Tensor<'t>>) -> Tensor<'t> {
        let DenoiserInput { x, t, r, .. } = *input;
        let labels = input.condition.labels_of(x);
        let layers: UnetLayers<Tensor<'t>> = params.to_tree(&self.layers);
        let trace = x.trace();
        let condition_bc = trace.scope("condition", || layers.conditioning.forward(t, r, labels));
        let skips = trace.scope("down", || layers.descend(x));
        let x_bhwc = trace.scope("middle", || {
            let x_bhwc = layers.middle.forward(skips[skips.len() - 1].relu());
            x_bhwc + condition_bc.expand_dims(1).expand_dims(1)
        });
        let x_bhwc = trace.scope("up", || layers.ascend(x_bhwc, &skips));
        x - trace.scope("output", || layers.output.forward(x_bhwc))
    }
}

impl<'t> UnetLayers<Tensor<'t>> {
    /// The result of each level, from large pictures to small ones.
    fn descend(&self, x_bhwc: Tensor<'t>) -> Vec<Tensor<'t>> {
        let mut skips: Vec<Tensor<'t>> = Vec::with_capacity(self.down.len());
        for level in &self.down {
            let x_bhwc = skips.last().map_or(x_bhwc, |above| above.relu());
            skips.push(level.forward(x_bhwc));
        }
        skips
    }

    fn ascend(&self, middle_bhwc: Tensor<'t>, skips: &[Tensor<'t>]) -> Tensor<'t> {
        let levels = self.up.iter().zip(skips.iter().rev()).enumerate();
        levels.fold(middle_bhwc, |x_bhwc, (i, (level, skip_bhwc))| {
            let joined_bhwc = concatenate(&[x_bhwc, *skip_bhwc], -1);
            // As the tutorial has it, the smallest level's values come here as they are.
            level.forward(if i == 0 { joined_bhwc } else { joined_bhwc.relu() })
        })
    }
}

impl Conditioning<Init> {
    fn new(width: usize, classes: usize, channels: usize) -> Self {
        Conditioning {
            time: TimeLayers::new(width),
            target_time: TimeLayers::new(width),
            class_embedding: ClassEmbedding { table: Init::normal([classes + 1, width], 1.0) },
            projection: Linear::xavier(3 * width, channels),
        }
    }
}

impl<'t> Conditioning<Tensor<'t>> {
    /// t, r f32 `[b]`, labels i32 `[b]` -> `[b, channels]`.
    fn forward(&self, t: Tensor<'t>, r: Tensor<'t>, labels: Tensor<'t>) -> Tensor<'t> {
        let times_bd = [self.time.forward(t), self.target_time.forward(r)];
        let class_bd = self.class_embedding.forward(labels);
        self.projection.forward(concatenate(&[times_bd[0], times_bd[1], class_bd], -1))
    }
}

impl TimeLayers<Init> {
    fn new(width: usize) -> Self {
        // Uniform biases put the kinks of the rectifiers all over the times.
        let up = Linear { weight: Init::uniform([1, width], 1.0), bias: Some(Init::uniform([width], 1.0)) };
        TimeLayers { up, down: Linear::xavier(width, width) }
    }
}

impl<'t> TimeLayers<Tensor<'t>> {
    fn forward(&self, t: Tensor<'t>) -> Tensor<'t> {
        self.down.forward(self.up.forward(t.expand_dims(-1)).relu())
    }
}

impl<'t> DownLevel<Tensor<'t>> {
    fn forward(&self, x_bhwc: Tensor<'t>) -> Tensor<'t> {
        let x_bhwc = normalize(self.conv.forward(x_bhwc), &self.norm).relu();
        self.halve.forward(x_bhwc)
    }
}

impl<'t> UpLevel<Tensor<'t>> {
    fn forward(&self, x_bhwc: Tensor<'t>) -> Tensor<'t> {
        let x_bhwc = normalize(self.double.forward(x_bhwc), &self.norm).relu();
        self.conv.forward(x_bhwc)
    }
}

fn normalize<'t>(x_bhwc: Tensor<'t>, norm: &Option<GroupNorm<Tensor<'t>>>) -> Tensor<'t> {
    norm.as_ref().map_or(x_bhwc, |norm| norm.forward(x_bhwc))
}
