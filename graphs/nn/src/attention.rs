//! Multi-head self-attention.

use twinflow_array::Tree;
use twinflow_compiler::{DotDims, Tensor};

use crate::{Init, Linear, RmsNorm};

/// Sizes and options of an [`Attention`].
#[derive(Clone, Copy, Debug)]
pub struct AttentionDims {
    /// Width of a token; a multiple of `heads`.
    pub width: usize,
    /// Heads.
    pub heads: usize,
    /// Normalise queries and keys per head (Dehghani et al. 2023): keeps long bf16 training stable.
    pub qk_norm: bool,
}

/// Scaled dot-product attention of all tokens to all tokens.
#[derive(Clone, Debug, Tree)]
pub struct Attention<L> {
    /// width -> queries, keys and values, each `[heads, width / heads]`.
    pub qkv: Linear<L>,
    /// width -> width.
    #[tree(external = "proj")]
    pub out: Linear<L>,
    /// Norm of the queries, if any.
    pub q_norm: Option<RmsNorm<L>>,
    /// Norm of the keys, if any.
    pub k_norm: Option<RmsNorm<L>>,
    /// Sizes.
    pub dims: AttentionDims,
}

impl Attention<Init> {
    /// Xavier-uniform weights.
    pub fn new(dims: AttentionDims) -> Self {
        let AttentionDims { width, heads, qk_norm } = dims;
        let norm = || qk_norm.then(|| RmsNorm::new(width / heads));
        Attention {
            qkv: Linear::xavier(width, 3 * width),
            out: Linear::xavier(width, width),
            q_norm: norm(),
            k_norm: norm(),
            dims,
        }
    }
}

impl<'t> Attention<Tensor<'t>> {
    /// x `[b, t, d]` -> `[b, t, d]`.
    #[track_caller]
    pub fn forward(&self, x_btd: Tensor<'t>) -> Tensor<'t> {
        let (b, t) = (x_btd.dim(0), x_btd.dim(1));
        let AttentionDims { width, heads, .. } = self.dims;
        let head_width = width / heads;
        let head = |y: Tensor<'t>| y.reshape([b, t, heads, head_width]).transpose(&[0, 2, 1, 3]);
        let qkv = self.qkv.forward(x_btd).split(-1, &[width; 3]);
        let [q_bhtk, k_bhtk, v_bhtk] = [head(qkv[0]), head(qkv[1]), head(qkv[2])];
        let q_bhtk = self.q_norm.as_ref().map_or(q_bhtk, |norm| norm.forward(q_bhtk));
        let k_bhtk = self.k_norm.as_ref().map_or(k_bhtk, |norm| norm.forward(k_bhtk));
        let scale = 1.0 / (head_width as f64).sqrt();
        let scores_bhtt = (q_bhtk * scale).dot_general(k_bhtk, heads_dot([3], [3]));
        let mixed_bhtk = scores_bhtt.softmax(-1).dot_general(v_bhtk, heads_dot([3], [2]));
        self.out.forward(mixed_bhtk.transpose(&[0, 2, 1, 3]).reshape([b, t, width]))
    }
}

/// A product for each sample and head.
fn heads_dot(lhs_contract: [usize; 1], rhs_contract: [usize; 1]) -> DotDims {
    DotDims {
        lhs_contract: lhs_contract.to_vec(),
        rhs_contract: rhs_contract.to_vec(),
        lhs_batch: vec![0, 1],
        rhs_batch: vec![0, 1],
    }
}
