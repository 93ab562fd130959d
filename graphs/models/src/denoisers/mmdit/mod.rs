//! What transformers of two streams share (MM-DiT, Esser et al. 2024): pictures and prompts have layers of their own
//! and meet in attention. External names are those of diffusers.
//!
//! Suffixes: b batch, t tokens, d width, h heads, k width of a head; s 1, or t where tokens of a sample differ.

mod attention;
mod modulation;

use twinflow_array::Tree;
use twinflow_compiler::Tensor;
use twinflow_nn::{Init, Linear};

pub(super) use attention::{AttentionLayers, Joining, JointAttention, JointDims};
pub(super) use modulation::{AdaLn, FinalLayer, scale_then_shift};

/// Two linear layers with GELU (tanh form) between.
#[derive(Clone, Debug, Tree)]
pub(super) struct FeedForward<L> {
    #[tree(external = "net.0.proj")]
    up: Linear<L>,
    #[tree(external = "net.2")]
    down: Linear<L>,
}

impl FeedForward<Init> {
    /// Four times as wide inside; weights as PyTorch's `nn.Linear` starts.
    pub(super) fn new(width: usize) -> Self {
        FeedForward { up: Linear::fan_in(width, 4 * width), down: Linear::fan_in(4 * width, width) }
    }
}

impl<'t> FeedForward<Tensor<'t>> {
    /// x `[b, t, d]` -> `[b, t, d]`.
    #[track_caller]
    pub(super) fn forward(&self, x_btd: Tensor<'t>) -> Tensor<'t> {
        self.down.forward(self.up.forward(x_btd).gelu_tanh())
    }
}
