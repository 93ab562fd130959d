//! SANA's transformer block.

use twinflow_array::{DType, Tree};
use twinflow_compiler::Tensor;
use twinflow_nn::{Conv2d, Init, Linear, RmsNorm, attend, attend_linearly, join_heads, layer_norm, split_heads};

use super::SanaConfig;

/// What is added to the scores of a prompt's padding.
const PADDING_SCORE: f64 = -1e4;

/// One transformer block: linear attention, attention to the prompt, Mix-FFN. The attention to the prompt sees the
/// tokens as they are and has no gate.
#[derive(Clone, Debug, Tree)]
pub(super) struct SanaBlock<L> {
    /// Shift, scale and gate of the attention, then of the Mix-FFN, to which those of the time are added: `[6, width]`.
    #[tree(external = "scale_shift_table")]
    modulation: L,
    #[tree(external = "attn1")]
    attention: LinearAttention<L>,
    #[tree(external = "attn2")]
    cross_attention: CrossAttention<L>,
    #[tree(external = "ff")]
    mix_ffn: MixFfn<L>,
}

/// Linear attention of all image tokens to all.
#[derive(Clone, Debug, Tree)]
struct LinearAttention<L> {
    /// width -> queries, keys and values.
    #[tree(external = "to_q+to_k+to_v")]
    qkv: Linear<L>,
    #[tree(external = "")]
    norms: QkNorms<L>,
    /// width -> width.
    #[tree(external = "to_out.0")]
    out: Linear<L>,
    heads: usize,
}

/// Softmax attention of the image tokens to the prompt's.
#[derive(Clone, Debug, Tree)]
struct CrossAttention<L> {
    /// width -> queries.
    #[tree(external = "to_q")]
    q: Linear<L>,
    /// width -> keys and values.
    #[tree(external = "to_k+to_v")]
    kv: Linear<L>,
    #[tree(external = "")]
    norms: QkNorms<L>,
    /// width -> width.
    #[tree(external = "to_out.0")]
    out: Linear<L>,
    heads: usize,
}

/// Norms of queries and keys over all heads together, or none.
#[derive(Clone, Debug, Tree)]
struct QkNorms<L> {
    #[tree(external = "norm_q")]
    q: Option<RmsNorm<L>>,
    #[tree(external = "norm_k")]
    k: Option<RmsNorm<L>>,
}

/// Gated convolutions (GLUMBConv): the depthwise one tells a token of its neighbours, so that no embedding of positions
/// is needed.
#[derive(Clone, Debug, Tree)]
struct MixFfn<L> {
    /// width -> value and gate, 1 x 1.
    #[tree(external = "conv_inverted")]
    up: Conv2d<L>,
    /// 3 x 3, channel by channel.
    #[tree(external = "conv_depth")]
    depthwise: Conv2d<L>,
    /// hidden -> width, 1 x 1.
    #[tree(external = "conv_point")]
    down: Conv2d<L>,
}

/// A prompt as the blocks see it.
#[derive(Clone, Copy)]
pub(super) struct Prompt<'t> {
    tokens_bnd: Tensor<'t>,
    /// Added to the scores, `[b, 1, 1, n]`.
    bias_b11n: Tensor<'t>,
}

impl<'t> Prompt<'t> {
    /// Tokens `[b, n, d]` and which of them count, i32 `[b, n]`.
    pub(super) fn new(tokens_bnd: Tensor<'t>, mask_bn: Tensor<'t>) -> Self {
        let bias_bn = (1.0 - mask_bn.convert(DType::F32)) * PADDING_SCORE;
        Prompt { tokens_bnd, bias_b11n: bias_bn.expand_dims(1).expand_dims(1) }
    }
}

impl SanaBlock<Init> {
    pub(super) fn new(config: &SanaConfig) -> Self {
        let SanaConfig { width, heads, cross_heads, qk_norm, .. } = *config;
        let hidden = config.hidden();
        SanaBlock {
            modulation: Init::normal([6, width], 1.0 / (width as f64).sqrt()),
            attention: LinearAttention {
                qkv: Linear::fan_in(width, 3 * width).without_bias(),
                norms: QkNorms::new(width, qk_norm),
                out: Linear::fan_in(width, width),
                heads,
            },
            cross_attention: CrossAttention {
                q: Linear::fan_in(width, width),
                kv: Linear::fan_in(width, 2 * width),
                norms: QkNorms::new(width, qk_norm),
                out: Linear::fan_in(width, width),
                heads: cross_heads,
            },
            mix_ffn: MixFfn {
                up: Conv2d::fan_in(1, width, 2 * hidden),
                depthwise: Conv2d::depthwise(3, 2 * hidden),
                down: Conv2d::fan_in(1, hidden, width).without_bias(),
            },
        }
    }
}

impl<'t> SanaBlock<Tensor<'t>> {
    /// x `[b, h, w, d]`, modulation of the time `[b, 6, d]` -> `[b, h, w, d]`.
    pub(super) fn forward(&self, x_bhwd: Tensor<'t>, modulation_b6d: Tensor<'t>, prompt: Prompt<'t>) -> Tensor<'t> {
        let trace = x_bhwd.trace();
        let modulation = (self.modulation + modulation_b6d).split(1, &[1; 6]);
        let [shift_1, scale_1, gate_1, shift_2, scale_2, gate_2] = std::array::from_fn(|i| modulation[i]);
        let attended = trace.scope("attention", || {
            let x_bhwd = modulate(layer_norm(x_bhwd), shift_1, scale_1);
            over_tokens(x_bhwd, |x_btd| self.attention.forward(x_btd))
        });
        let x_bhwd = x_bhwd + gate_1.expand_dims(1) * attended;
        let attended =
            trace.scope("cross_attention", || over_tokens(x_bhwd, |x_btd| self.cross_attention.forward(x_btd, prompt)));
        let x_bhwd = x_bhwd + attended;
        let changed = trace.scope("mix_ffn", || self.mix_ffn.forward(modulate(layer_norm(x_bhwd), shift_2, scale_2)));
        x_bhwd + gate_2.expand_dims(1) * changed
    }
}

impl<'t> LinearAttention<Tensor<'t>> {
    /// x `[b, t, d]` -> `[b, t, d]`.
    fn forward(&self, x_btd: Tensor<'t>) -> Tensor<'t> {
        let qkv = self.qkv.forward(x_btd).split(-1, &[x_btd.dim(-1); 3]);
        let [q_btd, k_btd] = self.norms.forward([qkv[0], qkv[1]]);
        let [q_bhtk, k_bhtk, v_bhtk] = [q_btd, k_btd, qkv[2]].map(|y_btd| split_heads(y_btd, self.heads));
        self.out.forward(join_heads(attend_linearly(q_bhtk, k_bhtk, v_bhtk)))
    }
}

impl<'t> CrossAttention<Tensor<'t>> {
    /// x `[b, t, d]` -> `[b, t, d]`.
    fn forward(&self, x_btd: Tensor<'t>, prompt: Prompt<'t>) -> Tensor<'t> {
        let kv = self.kv.forward(prompt.tokens_bnd).split(-1, &[x_btd.dim(-1); 2]);
        let [q_btd, k_bnd] = self.norms.forward([self.q.forward(x_btd), kv[0]]);
        let [q_bhtk, k_bhnk, v_bhnk] = [q_btd, k_bnd, kv[1]].map(|y| split_heads(y, self.heads));
        self.out.forward(join_heads(attend(q_bhtk, k_bhnk, v_bhnk, Some(prompt.bias_b11n))))
    }
}

impl QkNorms<Init> {
    fn new(width: usize, present: bool) -> Self {
        let norm = || present.then(|| RmsNorm::with_eps(width, 1e-5));
        QkNorms { q: norm(), k: norm() }
    }
}

impl<'t> QkNorms<Tensor<'t>> {
    /// Queries and keys, each `[.., d]`.
    fn forward(&self, [q, k]: [Tensor<'t>; 2]) -> [Tensor<'t>; 2] {
        let normal = |norm: &Option<RmsNorm<Tensor<'t>>>, x| norm.as_ref().map_or(x, |norm| norm.forward(x));
        [normal(&self.q, q), normal(&self.k, k)]
    }
}

impl<'t> MixFfn<Tensor<'t>> {
    /// x `[b, h, w, d]` -> `[b, h, w, d]`.
    fn forward(&self, x_bhwd: Tensor<'t>) -> Tensor<'t> {
        let hidden = self.depthwise.forward(self.up.forward(x_bhwd).silu());
        let halves = hidden.split(-1, &[hidden.dim(-1) / 2; 2]);
        self.down.forward(halves[0] * halves[1].silu())
    }
}

/// `x (1 + scale) + shift` of x `[b, h, w, d]`, shift and scale `[b, 1, d]`: the same for every token of a sample.
pub(super) fn modulate<'t>(x_bhwd: Tensor<'t>, shift_b1d: Tensor<'t>, scale_b1d: Tensor<'t>) -> Tensor<'t> {
    x_bhwd * (scale_b1d.expand_dims(1) + 1.0) + shift_b1d.expand_dims(1)
}

/// `f` of the picture's tokens `[b, h w, d]`, as a picture again.
fn over_tokens<'t>(x_bhwd: Tensor<'t>, f: impl FnOnce(Tensor<'t>) -> Tensor<'t>) -> Tensor<'t> {
    let [b, h, w, d] = [0, 1, 2, 3].map(|dim| x_bhwd.dim(dim));
    f(x_bhwd.reshape([b, h * w, d])).reshape([b, h, w, d])
}
