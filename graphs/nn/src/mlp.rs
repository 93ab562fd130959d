//! The feed-forward half of a transformer block.

use twinflow_array::Tree;
use twinflow_compiler::Tensor;

use crate::{Init, Linear};

/// Two linear layers with GELU (tanh form) between.
#[derive(Clone, Debug, Tree)]
pub struct Mlp<L> {
    /// width -> hidden.
    #[tree(external = "fc1")]
    pub up: Linear<L>,
    /// hidden -> width.
    #[tree(external = "fc2")]
    pub down: Linear<L>,
}

impl Mlp<Init> {
    /// Xavier-uniform weights.
    pub fn new(width: usize, hidden: usize) -> Self {
        Mlp { up: Linear::xavier(width, hidden), down: Linear::xavier(hidden, width) }
    }
}

impl<'t> Mlp<Tensor<'t>> {
    /// x [.., width] -> [.., width].
    #[track_caller]
    pub fn forward(&self, x: Tensor<'t>) -> Tensor<'t> {
        self.down.forward(self.up.forward(x).gelu_tanh())
    }
}
