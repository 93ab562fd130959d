//! Normalisation over the last dim.

use twinflow_array::Tree;
use twinflow_compiler::Tensor;

use crate::init::Init;

/// Zero mean and unit variance over the last dim, without parameters (eps 1e-6): adaptive layers scale and shift it.
#[track_caller]
pub fn layer_norm(x: Tensor<'_>) -> Tensor<'_> {
    let centred = x - x.mean_keep(&[-1]);
    centred * (centred.square().mean_keep(&[-1]) + 1e-6).rsqrt()
}

/// Unit root mean square over the last dim, times a learnt scale (Zhang & Sennrich 2019; eps 1e-6).
#[derive(Clone, Debug, Tree)]
pub struct RmsNorm<L> {
    /// `[width]`.
    pub scale: L,
}

impl RmsNorm<Init> {
    /// Scale 1.
    pub fn new(width: usize) -> Self {
        RmsNorm { scale: Init::constant([width], 1.0) }
    }
}

impl<'t> RmsNorm<Tensor<'t>> {
    /// x [.., width].
    #[track_caller]
    pub fn forward(&self, x: Tensor<'t>) -> Tensor<'t> {
        x * (x.square().mean_keep(&[-1]) + 1e-6).rsqrt() * self.scale
    }
}
