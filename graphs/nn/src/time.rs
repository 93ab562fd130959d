//! Embeddings of the time t and of the target time r.

use serde::{Deserialize, Serialize};
use twinflow_array::{DType, HostArray, ParamPath, Tree, map};
use twinflow_compiler::{Tensor, concatenate};

use crate::{Init, Linear};

/// Sine and cosine features of a time.
pub const FEATURES: usize = 256;
/// Times are embedded in thousandths, as diffusion models with 1000 steps do.
const TIME_SCALE: f64 = 1000.0;
/// Ratio of the highest to the lowest frequency. The lowest, 0.1 rad per unit of time, is monotone over [-1, 1] in its
/// sine, so the sign of t is plain to see there.
const FREQUENCY_RANGE: f64 = 1e4;

/// `count` frequencies that fall geometrically from 1 towards `1 / range`.
pub(crate) fn frequencies(count: usize, range: f64) -> Vec<f64> {
    (0..count).map(|i| range.powf(-(i as f64) / count as f64)).collect()
}

/// Sinusoidal features of a time in [-1, 1], then two linear layers with SiLU between.
#[derive(Clone, Debug, Tree)]
pub struct TimeEmbedding<L> {
    /// features -> width.
    #[tree(external = "mlp.0")]
    pub up: Linear<L>,
    /// width -> width.
    #[tree(external = "mlp.2")]
    pub down: Linear<L>,
}

impl TimeEmbedding<Init> {
    /// Normal weights with standard deviation 0.02 (DiT).
    pub fn new(width: usize) -> Self {
        TimeEmbedding { up: Linear::normal(FEATURES, width, 0.02), down: Linear::normal(width, width, 0.02) }
    }
}

impl<'t> TimeEmbedding<Tensor<'t>> {
    /// t f32 `[b]` in [-1, 1] -> `[b, width]`.
    #[track_caller]
    pub fn forward(&self, t: Tensor<'t>) -> Tensor<'t> {
        let hidden = self.up.forward(time_features(t)).silu();
        self.down.forward(hidden)
    }
}

/// t f32 `[b]` -> `[b, FEATURES]`: cosines (even in t), then sines (odd in t).
fn time_features(t: Tensor<'_>) -> Tensor<'_> {
    let scaled: Vec<f32> = frequencies(FEATURES / 2, FREQUENCY_RANGE).iter().map(|f| (f * TIME_SCALE) as f32).collect();
    let frequencies = HostArray::from_slice([FEATURES / 2], &scaled).expect("one dim of that length");
    let angles = t.expand_dims(-1) * t.trace().constant(frequencies);
    concatenate(&[angles.cos(), angles.sin()], -1)
}

/// The time embedding of diffusers' networks: 256 cosines and sines of the time in thousandths, two linear layers with
/// SiLU between.
#[derive(Clone, Debug, Tree)]
pub struct TimestepEmbedding<L> {
    /// features -> hidden width.
    pub linear_1: Linear<L>,
    /// hidden width -> width.
    pub linear_2: Linear<L>,
}

impl TimestepEmbedding<Init> {
    /// Weights as PyTorch's `nn.Linear` starts.
    pub fn new(hidden: usize, width: usize) -> Self {
        TimestepEmbedding { linear_1: Linear::fan_in(FEATURES, hidden), linear_2: Linear::fan_in(hidden, width) }
    }

    /// Normal weights, zero bias.
    pub fn normal(hidden: usize, width: usize, std: f64) -> Self {
        TimestepEmbedding {
            linear_1: Linear::normal(FEATURES, hidden, std),
            linear_2: Linear::normal(hidden, width, std),
        }
    }

    /// The same without biases.
    pub fn without_bias(self) -> Self {
        TimestepEmbedding { linear_1: self.linear_1.without_bias(), linear_2: self.linear_2.without_bias() }
    }
}

impl<'t> TimestepEmbedding<Tensor<'t>> {
    /// Times in thousandths, f32 `[b]` -> `[b, width]`.
    #[track_caller]
    pub fn forward(&self, thousandths: Tensor<'t>) -> Tensor<'t> {
        self.linear_2.forward(self.linear_1.forward(timestep_features(thousandths)).silu())
    }
}

/// Times in thousandths, f32 `[b]` -> f32 `[b, FEATURES]`: cosines, then sines. Angles reach 1000 rad, so that the last bit
/// of a frequency shows: they are f32 exponentials of f32 numbers, as PyTorch computes them.
#[track_caller]
pub fn timestep_features(thousandths: Tensor<'_>) -> Tensor<'_> {
    let half = FEATURES / 2;
    let exponent = |i: usize| -(FREQUENCY_RANGE.ln() as f32) * i as f32 / half as f32;
    let frequencies: Vec<f32> = (0..half).map(|i| exponent(i).exp()).collect();
    let frequencies = HostArray::from_slice([half], &frequencies).expect("one dim of that length");
    let angles = thousandths.expand_dims(-1) * thousandths.trace().constant(frequencies);
    concatenate(&[angles.cos(), angles.sin()], -1)
}

/// How the target time r joins the time t.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetTime {
    /// `E1(t) + E2(r)`: both are learnt from the first step on. For training from scratch.
    #[default]
    Embedding,
    /// `E1(t) + E2(r) (t - r)`: a pretrained model is unchanged at r = t, whatever E2 starts as.
    Difference,
    /// `E1(t - r / 2)`: no parameters for r, as low-rank adapters want it. A pretrained model is asked at t / 2 where
    /// r = t.
    Half,
    /// `E1(t)`: a pretrained model as it is, which knows of no r.
    Ignored,
}

impl TargetTime {
    /// Whether r has an embedding of its own, E2.
    pub fn has_embedding(self) -> bool {
        matches!(self, TargetTime::Embedding | TargetTime::Difference)
    }

    /// E2 as it starts beside E1, which sits at `path` in the model's tree: drawn for itself, a copy of E1, or none.
    pub fn second<T>(self, first: &T, path: &ParamPath) -> Option<T>
    where
        T: Clone + Tree<Leaf = Init, Rebind<Init> = T>,
    {
        match self {
            TargetTime::Embedding => Some(first.clone()),
            TargetTime::Difference => Some(map(first, |leaf, init| init.clone().copy_of(path.join(leaf.path())))),
            TargetTime::Half | TargetTime::Ignored => None,
        }
    }

    /// The time that E1 is asked at; t, r f32 `[b]`.
    #[track_caller]
    pub fn asked<'t>(self, t: Tensor<'t>, r: Tensor<'t>) -> Tensor<'t> {
        if self == TargetTime::Half { t - r * 0.5 } else { t }
    }

    /// What E1 and E2 gave, each `[b, width]`, as one; t, r f32 `[b]` in [-1, 1].
    #[track_caller]
    pub fn join<'t>(self, first: Tensor<'t>, second: Option<Tensor<'t>>, t: Tensor<'t>, r: Tensor<'t>) -> Tensor<'t> {
        match (self, second) {
            (TargetTime::Difference, Some(second)) => first + second * (t - r).expand_dims(-1),
            (_, Some(second)) => first + second,
            (_, None) => first,
        }
    }
}

/// How the sign of a time reaches the network: negative times are those of its own fakes.
///
/// Cosines are the same for t and -t; sines change their sign. A network that was trained on positive times has never
/// seen the other sines, so a negative time is another input to it, but one of which it knows nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeSign {
    /// The embedders are given the negative time.
    #[default]
    Signed,
    /// The embedders are given the time's absolute value, and a [`SignEmbedding`] of t is added: a pretrained model
    /// starts with the same answer for t and -t.
    Embedding,
}

impl TimeSign {
    /// The embedding of the sign, where the embedders do not see it.
    pub fn embedding(self, width: usize) -> Option<SignEmbedding<Init>> {
        (self == TimeSign::Embedding).then(|| SignEmbedding::new(width))
    }

    /// The time that an embedder is given.
    #[track_caller]
    pub fn seen(self, time: Tensor<'_>) -> Tensor<'_> {
        if self == TimeSign::Embedding { time.abs() } else { time }
    }
}

/// One vector for times from zero up, and one for negative times.
#[derive(Clone, Debug, Tree)]
pub struct SignEmbedding<L> {
    /// `[2, width]`.
    #[tree(external = "weight")]
    pub table: L,
}

impl SignEmbedding<Init> {
    /// All zero.
    pub fn new(width: usize) -> Self {
        SignEmbedding { table: Init::zeros([2, width]) }
    }
}

impl<'t> SignEmbedding<Tensor<'t>> {
    /// t f32 `[b]` -> `[b, width]`.
    #[track_caller]
    pub fn forward(&self, t: Tensor<'t>) -> Tensor<'t> {
        self.table.take(t.lt(0.0).convert(DType::I32))
    }
}

/// The embeddings of t and r together.
#[derive(Clone, Debug, Tree)]
pub struct TwoTimes<L> {
    /// E1.
    #[tree(external = "t_embedder")]
    pub time: TimeEmbedding<L>,
    /// E2, where r has one.
    #[tree(external = "r_embedder")]
    pub target_time: Option<TimeEmbedding<L>>,
    /// How they join.
    pub join: TargetTime,
}

impl TwoTimes<Init> {
    /// Embeddings of this width; `path` is where the result sits in the model's tree. E2 of
    /// [`TargetTime::Difference`] starts as a copy of E1.
    pub fn new(width: usize, join: TargetTime, path: &ParamPath) -> Self {
        let time = TimeEmbedding::new(width);
        let target_time = join.second(&time, &path.join("time"));
        TwoTimes { time, target_time, join }
    }
}

impl<'t> TwoTimes<Tensor<'t>> {
    /// t, r f32 `[b]` -> `[b, width]`.
    #[track_caller]
    pub fn forward(&self, t: Tensor<'t>, r: Tensor<'t>) -> Tensor<'t> {
        let first = self.time.forward(self.join.asked(t, r));
        let second = self.target_time.as_ref().map(|embedding| embedding.forward(r));
        self.join.join(first, second, t, r)
    }
}
