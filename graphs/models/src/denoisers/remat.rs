//! What the backward pass computes again.

use serde::{Deserialize, Serialize};
use twinflow_array::Tree;
use twinflow_compiler::{Tensor, remat};

/// What is computed again in the backward pass in place of being kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remat {
    /// Nothing.
    #[default]
    None,
    /// Everything inside a block: memory for one block and each block's input, for a third more computation.
    Blocks,
}

impl Remat {
    /// `block(args)`; what the block reads besides its arguments is kept in any case.
    pub(super) fn run<'t, A, B>(self, args: A, block: impl FnOnce(A) -> B) -> B
    where
        A: Tree<Leaf = Tensor<'t>, Rebind<Tensor<'t>> = A>,
        B: Tree<Leaf = Tensor<'t>, Rebind<Tensor<'t>> = B>,
    {
        match self {
            Remat::None => block(args),
            Remat::Blocks => remat(&args, block),
        }
    }
}
