//! Attention of pictures' and prompts' tokens to all of both.

use twinflow_array::Tree;
use twinflow_compiler::{Tensor, concatenate};
use twinflow_nn::{Init, Linear, RmsNorm, attend, join_heads, rotate_neighbours, split_heads};

/// Sizes and options of a [`JointAttention`] and of an [`AttentionLayers`].
#[derive(Clone, Copy, Debug)]
pub(in crate::denoisers) struct JointDims {
    /// Width of a token; a multiple of `heads`.
    pub(in crate::denoisers) width: usize,
    /// Heads.
    pub(in crate::denoisers) heads: usize,
    /// Normalise queries and keys per head.
    pub(in crate::denoisers) qk_norm: bool,
}

/// Attention of a picture's tokens, by itself or as its half of a [`JointAttention`].
#[derive(Clone, Debug, Tree)]
pub(in crate::denoisers) struct AttentionLayers<L> {
    #[tree(external = "to_q+to_k+to_v")]
    qkv: Linear<L>,
    #[tree(external = "norm_q")]
    q_norm: Option<RmsNorm<L>>,
    #[tree(external = "norm_k")]
    k_norm: Option<RmsNorm<L>>,
    #[tree(external = "to_out.0")]
    out: Linear<L>,
    heads: usize,
}

/// Attention of two streams to the tokens of both.
#[derive(Clone, Debug, Tree)]
pub(in crate::denoisers) struct JointAttention<L> {
    #[tree(external = "")]
    image: AttentionLayers<L>,
    #[tree(external = "add_q_proj+add_k_proj+add_v_proj")]
    text_qkv: Linear<L>,
    #[tree(external = "norm_added_q")]
    text_q_norm: Option<RmsNorm<L>>,
    #[tree(external = "norm_added_k")]
    text_k_norm: Option<RmsNorm<L>>,
    /// `None`: nobody reads the prompt's stream any more.
    #[tree(external = "to_add_out")]
    text_out: Option<Linear<L>>,
}

/// Where the joint tokens stand, the prompt's first, and which of them are seen.
#[derive(Clone, Copy, Debug)]
pub(in crate::denoisers) struct Joining<'t> {
    /// Rotary angles, `[t, k / 2]`.
    pub(in crate::denoisers) angles: Tensor<'t>,
    /// What is added to the scores of the keys, `[b, 1, 1, t]`.
    pub(in crate::denoisers) bias: Tensor<'t>,
}

impl AttentionLayers<Init> {
    /// Weights as PyTorch's `nn.Linear` starts.
    pub(in crate::denoisers) fn new(dims: JointDims) -> Self {
        AttentionLayers {
            qkv: Linear::fan_in(dims.width, 3 * dims.width),
            q_norm: dims.norm(),
            k_norm: dims.norm(),
            out: Linear::fan_in(dims.width, dims.width),
            heads: dims.heads,
        }
    }
}

impl JointAttention<Init> {
    /// Weights as PyTorch's `nn.Linear` starts.
    pub(in crate::denoisers) fn new(dims: JointDims) -> Self {
        JointAttention {
            image: AttentionLayers::new(dims),
            text_qkv: Linear::fan_in(dims.width, 3 * dims.width),
            text_q_norm: dims.norm(),
            text_k_norm: dims.norm(),
            text_out: Some(Linear::fan_in(dims.width, dims.width)),
        }
    }

    /// The same whose prompt's stream ends here.
    pub(in crate::denoisers) fn without_text_out(self) -> Self {
        JointAttention { text_out: None, ..self }
    }
}

impl JointDims {
    fn norm(&self) -> Option<RmsNorm<Init>> {
        self.qk_norm.then(|| RmsNorm::new(self.width / self.heads))
    }
}

impl<'t> AttentionLayers<Tensor<'t>> {
    /// x `[b, t, d]` -> `[b, t, d]`.
    #[track_caller]
    pub(in crate::denoisers) fn forward(&self, x_btd: Tensor<'t>) -> Tensor<'t> {
        let [q_bhtk, k_bhtk, v_bhtk] = self.project(x_btd);
        self.out.forward(join_heads(attend(q_bhtk, k_bhtk, v_bhtk, None)))
    }

    fn project(&self, x_btd: Tensor<'t>) -> [Tensor<'t>; 3] {
        project(x_btd, &self.qkv, [&self.q_norm, &self.k_norm], self.heads)
    }
}

impl<'t> JointAttention<Tensor<'t>> {
    /// The tokens of pictures and of the prompt, each `[b, .., d]` -> both anew, the prompt's where its stream goes on.
    #[track_caller]
    pub(in crate::denoisers) fn forward(
        &self,
        image_btd: Tensor<'t>,
        text_btd: Tensor<'t>,
        joining: Option<Joining<'t>>,
    ) -> (Tensor<'t>, Option<Tensor<'t>>) {
        let image = self.image.project(image_btd);
        let text = project(text_btd, &self.text_qkv, [&self.text_q_norm, &self.text_k_norm], self.image.heads);
        let [q_bhtk, k_bhtk, v_bhtk] = std::array::from_fn(|i| concatenate(&[text[i], image[i]], 2));
        let turn = |x_bhtk| joining.map_or(x_bhtk, |joining| rotate_neighbours(x_bhtk, joining.angles));
        let mixed_bhtk = attend(turn(q_bhtk), turn(k_bhtk), v_bhtk, joining.map(|joining| joining.bias));
        let mixed = join_heads(mixed_bhtk).split(1, &[text_btd.dim(1), image_btd.dim(1)]);
        (self.image.out.forward(mixed[1]), self.text_out.as_ref().map(|out| out.forward(mixed[0])))
    }
}

/// x `[b, t, d]` -> queries, keys and values, each `[b, h, t, k]`.
#[track_caller]
fn project<'t>(
    x_btd: Tensor<'t>,
    qkv: &Linear<Tensor<'t>>,
    norms: [&Option<RmsNorm<Tensor<'t>>>; 2],
    heads: usize,
) -> [Tensor<'t>; 3] {
    let parts = qkv.forward(x_btd).split(-1, &[x_btd.dim(-1); 3]);
    let [q_bhtk, k_bhtk, v_bhtk] = std::array::from_fn(|i| split_heads(parts[i], heads));
    let normal = |norm: &Option<RmsNorm<Tensor<'t>>>, x| norm.as_ref().map_or(x, |norm| norm.forward(x));
    [normal(norms[0], q_bhtk), normal(norms[1], k_bhtk), v_bhtk]
}
