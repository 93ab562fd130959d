//! Adaptive layer norm: shift, scale and gate are linear in the condition.

use twinflow_array::Tree;
use twinflow_compiler::Tensor;
use twinflow_nn::{Init, Linear, layer_norm};

/// What a condition makes of one branch of a block, each `[b, s, d]`.
#[derive(Clone, Copy, Debug)]
pub(in crate::denoisers) struct AdaLn<'t> {
    shift: Tensor<'t>,
    scale: Tensor<'t>,
    gate: Tensor<'t>,
}

impl<'t> AdaLn<'t> {
    /// The branches of a modulation `[b, s, 3 N d]`, one after the other.
    #[track_caller]
    pub(in crate::denoisers) fn branches<const N: usize>(modulation_bsm: Tensor<'t>) -> [Self; N] {
        let width = modulation_bsm.dim(-1) / (3 * N);
        let parts = modulation_bsm.split(-1, &vec![width; 3 * N]);
        std::array::from_fn(|i| AdaLn { shift: parts[3 * i], scale: parts[3 * i + 1], gate: parts[3 * i + 2] })
    }

    /// What the branch reads: `LN(x) (1 + scale) + shift`.
    #[track_caller]
    pub(in crate::denoisers) fn enter(&self, x_btd: Tensor<'t>) -> Tensor<'t> {
        layer_norm(x_btd) * (self.scale + 1.0) + self.shift
    }

    /// The stream after the branch: `x + gate y`.
    #[track_caller]
    pub(in crate::denoisers) fn leave(&self, x_btd: Tensor<'t>, y_btd: Tensor<'t>) -> Tensor<'t> {
        x_btd + self.gate * y_btd
    }
}

/// `LN(x) (1 + scale) + shift` of a modulation `[b, 1, 2 d]` that holds the scale first.
#[track_caller]
pub(in crate::denoisers) fn scale_then_shift<'t>(x_btd: Tensor<'t>, modulation_b1m: Tensor<'t>) -> Tensor<'t> {
    let parts = modulation_b1m.split(-1, &[x_btd.dim(-1); 2]);
    layer_norm(x_btd) * (parts[0] + 1.0) + parts[1]
}

/// From tokens to velocities.
#[derive(Clone, Debug, Tree)]
pub(in crate::denoisers) struct FinalLayer<L> {
    #[tree(external = "norm_out.linear")]
    modulation: Linear<L>,
    #[tree(external = "proj_out")]
    projection: Linear<L>,
}

impl FinalLayer<Init> {
    /// Weights as PyTorch's `nn.Linear` starts.
    pub(in crate::denoisers) fn new(width: usize, patch_size: usize) -> Self {
        FinalLayer { modulation: Linear::fan_in(width, 2 * width), projection: Linear::fan_in(width, patch_size) }
    }
}

impl<'t> FinalLayer<Tensor<'t>> {
    /// x `[b, t, d]`, condition `[b, 1, d]` -> `[b, t, patch_size]`.
    #[track_caller]
    pub(in crate::denoisers) fn forward(&self, x_btd: Tensor<'t>, condition_b1d: Tensor<'t>) -> Tensor<'t> {
        self.projection.forward(scale_then_shift(x_btd, self.modulation.forward(condition_b1d)))
    }
}
