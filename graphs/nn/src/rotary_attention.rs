//! Self-attention of tokens that know their places by rotation.

use twinflow_array::Tree;
use twinflow_compiler::Tensor;

use crate::{Init, Linear, RmsNorm, attend, join_heads, rotate_neighbours, split_heads};

/// Scaled dot-product attention of tokens to each other, without biases: queries and keys are normalised per head, then
/// turned by the angles of their places. External names are those of diffusers' transformers.
#[derive(Clone, Debug, Tree)]
pub struct RotaryAttention<L> {
    /// width -> queries, `[heads, k]`.
    #[tree(external = "to_q")]
    pub query: Linear<L>,
    /// width -> keys, `[heads, k]`.
    #[tree(external = "to_k")]
    pub key: Linear<L>,
    /// width -> values, `[heads, k]`.
    #[tree(external = "to_v")]
    pub value: Linear<L>,
    /// `[heads, k]` -> width.
    #[tree(external = "to_out.0")]
    pub out: Linear<L>,
    /// Norm of the queries of a head.
    #[tree(external = "norm_q")]
    pub query_norm: RmsNorm<L>,
    /// Norm of the keys of a head.
    #[tree(external = "norm_k")]
    pub key_norm: RmsNorm<L>,
    /// Heads.
    pub heads: usize,
}

impl RotaryAttention<Init> {
    /// Weights as PyTorch's `nn.Linear` starts, for heads of `width / heads` channels; `eps` is that of the norms.
    pub fn new(width: usize, heads: usize, eps: f64) -> Self {
        let linear = || Linear::fan_in(width, width).without_bias();
        let norm = || RmsNorm::with_eps(width / heads, eps);
        RotaryAttention {
            query: linear(),
            key: linear(),
            value: linear(),
            out: linear(),
            query_norm: norm(),
            key_norm: norm(),
            heads,
        }
    }
}

impl<'t> RotaryAttention<Tensor<'t>> {
    /// x `[b, t, d]`, angles that broadcast to `[b, h, t, k / 2]`, a bias of the scores that broadcasts to `[b, h, t, t]`
    /// -> `[b, t, d]`.
    #[track_caller]
    pub fn forward(&self, x_btd: Tensor<'t>, angles: Tensor<'t>, bias_bhtt: Option<Tensor<'t>>) -> Tensor<'t> {
        let heads = |linear: &Linear<Tensor<'t>>| split_heads(linear.forward(x_btd), self.heads);
        let q_bhtk = rotate_neighbours(self.query_norm.forward(heads(&self.query)), angles);
        let k_bhtk = rotate_neighbours(self.key_norm.forward(heads(&self.key)), angles);
        self.out.forward(join_heads(attend(q_bhtk, k_bhtk, heads(&self.value), bias_bhtt)))
    }
}
