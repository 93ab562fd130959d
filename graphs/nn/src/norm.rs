//! Normalisation.

use twinflow_array::Tree;
use twinflow_compiler::Tensor;

use crate::Init;

/// Zero mean and unit variance over the last dim, without parameters (eps 1e-6): adaptive layers scale and shift it.
#[track_caller]
pub fn layer_norm(x: Tensor<'_>) -> Tensor<'_> {
    let centred = x - x.mean_keep(&[-1]);
    centred * (centred.square().mean_keep(&[-1]) + 1e-6).rsqrt()
}

/// Unit root mean square over the last dim, times a learnt scale (Zhang & Sennrich 2019).
#[derive(Clone, Debug, Tree)]
pub struct RmsNorm<L> {
    /// `[width]`.
    #[tree(external = "weight")]
    pub scale: L,
    /// What is added to the mean square.
    pub eps: f64,
}

impl RmsNorm<Init> {
    /// Scale 1, eps 1e-6.
    pub fn new(width: usize) -> Self {
        Self::with_eps(width, 1e-6)
    }

    /// Scale 1.
    pub fn with_eps(width: usize, eps: f64) -> Self {
        RmsNorm { scale: Init::constant([width], 1.0), eps }
    }
}

impl<'t> RmsNorm<Tensor<'t>> {
    /// x [.., width].
    #[track_caller]
    pub fn forward(&self, x: Tensor<'t>) -> Tensor<'t> {
        x * (x.square().mean_keep(&[-1]) + self.eps).rsqrt() * self.scale
    }
}

/// [`RmsNorm`] with its scale held as the difference from 1.
#[derive(Clone, Debug, Tree)]
pub struct CentredRmsNorm<L> {
    /// The scale less 1, `[width]`.
    #[tree(external = "weight")]
    pub excess: L,
    /// What is added to the mean square.
    pub eps: f64,
}

impl CentredRmsNorm<Init> {
    /// Scale 1.
    pub fn with_eps(width: usize, eps: f64) -> Self {
        CentredRmsNorm { excess: Init::zeros([width]), eps }
    }
}

impl<'t> CentredRmsNorm<Tensor<'t>> {
    /// x [.., width].
    #[track_caller]
    pub fn forward(&self, x: Tensor<'t>) -> Tensor<'t> {
        RmsNorm { scale: self.excess + 1.0, eps: self.eps }.forward(x)
    }
}

/// Zero mean and unit variance over the pixels and the channels of each group, then a learnt scale and shift of each
/// channel (Wu & He 2018; eps 1e-5).
#[derive(Clone, Debug, Tree)]
pub struct GroupNorm<L> {
    /// `[channels]`.
    #[tree(external = "weight")]
    pub scale: L,
    /// `[channels]`.
    #[tree(external = "bias")]
    pub shift: L,
    /// Groups that the channels are divided into; a divisor of their number.
    pub groups: usize,
}

impl GroupNorm<Init> {
    /// Scale 1, shift 0.
    pub fn new(channels: usize, groups: usize) -> Self {
        GroupNorm { scale: Init::constant([channels], 1.0), shift: Init::zeros([channels]), groups }
    }
}

impl<'t> GroupNorm<Tensor<'t>> {
    /// x `[b, .., channels]`.
    #[track_caller]
    pub fn forward(&self, x: Tensor<'t>) -> Tensor<'t> {
        let (b, channels) = (x.dim(0), x.dim(-1));
        let pixels = x.shape().elements() / (b * channels);
        let grouped = x.reshape([b, pixels, self.groups, channels / self.groups]);
        let centred = grouped - grouped.mean_keep(&[1, 3]);
        let normal = centred * (centred.square().mean_keep(&[1, 3]) + 1e-5).rsqrt();
        normal.reshape(x.shape()) * self.scale + self.shift
    }
}
