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
        self.forward_with(x_btd, None)
    }

    /// The same with a bias of the scores that broadcasts to `[b, h, t, t]`, such as a [`mask_bias`].
    #[track_caller]
    pub fn forward_with(&self, x_btd: Tensor<'t>, bias_bhtt: Option<Tensor<'t>>) -> Tensor<'t> {
        let AttentionDims { width, heads, .. } = self.dims;
        let qkv = self.qkv.forward(x_btd).split(-1, &[width; 3]);
        let [q_bhtk, k_bhtk, v_bhtk] = [qkv[0], qkv[1], qkv[2]].map(|y| split_heads(y, heads));
        let q_bhtk = self.q_norm.as_ref().map_or(q_bhtk, |norm| norm.forward(q_bhtk));
        let k_bhtk = self.k_norm.as_ref().map_or(k_bhtk, |norm| norm.forward(k_bhtk));
        let mixed_bhtk = attend(q_bhtk, k_bhtk, v_bhtk, bias_bhtt);
        self.out.forward(join_heads(mixed_bhtk))
    }
}

/// Scaled dot-product attention: `softmax(q k^T / sqrt(k) + bias) v` for each sample and head. q `[b, h, t, k]`, k and v
/// `[b, h, s, k]`, bias broadcasting to `[b, h, t, s]` -> `[b, h, t, k]`.
#[track_caller]
pub fn attend<'t>(
    q_bhtk: Tensor<'t>,
    k_bhsk: Tensor<'t>,
    v_bhsk: Tensor<'t>,
    bias_bhts: Option<Tensor<'t>>,
) -> Tensor<'t> {
    let scale = 1.0 / (q_bhtk.dim(-1) as f64).sqrt();
    let scores_bhts = (q_bhtk * scale).dot_general(k_bhsk, heads_dot([3], [3]));
    let scores_bhts = bias_bhts.map_or(scores_bhts, |bias| scores_bhts + bias);
    scores_bhts.softmax(-1).dot_general(v_bhsk, heads_dot([3], [2]))
}

/// The bias of [`attend`] with which queries see only the keys for which `seen` (bool, of any shape) holds: 0 or a score
/// whose exponential is zero beside any other. It is finite, so that a query which sees no key gives numbers too.
#[track_caller]
pub fn mask_bias(seen: Tensor<'_>) -> Tensor<'_> {
    seen.select(0.0, -1e9)
}

/// `[b, t, heads * k] -> [b, heads, t, k]`.
#[track_caller]
pub fn split_heads(x_btd: Tensor<'_>, heads: usize) -> Tensor<'_> {
    let (b, t, width) = (x_btd.dim(0), x_btd.dim(1), x_btd.dim(2));
    x_btd.reshape([b, t, heads, width / heads]).transpose(&[0, 2, 1, 3])
}

/// The inverse of [`split_heads`].
#[track_caller]
pub fn join_heads(x_bhtk: Tensor<'_>) -> Tensor<'_> {
    let (b, heads, t, k) = (x_bhtk.dim(0), x_bhtk.dim(1), x_bhtk.dim(2), x_bhtk.dim(3));
    x_bhtk.transpose(&[0, 2, 1, 3]).reshape([b, t, heads * k])
}

/// A product for each sample and head.
pub(crate) fn heads_dot(lhs_contract: [usize; 1], rhs_contract: [usize; 1]) -> DotDims {
    DotDims {
        lhs_contract: lhs_contract.to_vec(),
        rhs_contract: rhs_contract.to_vec(),
        lhs_batch: vec![0, 1],
        rhs_batch: vec![0, 1],
    }
}
