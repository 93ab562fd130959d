//! Embeddings of what SANA is conditioned on: times and prompt.

use twinflow_array::Tree;
use twinflow_compiler::Tensor;
use twinflow_nn::{Init, Linear, RmsNorm, SignEmbedding, TargetTime, TimeSign, TimestepEmbedding};

/// Standard deviation of the first weights of the target time's embedder.
const TARGET_STD: f64 = 0.02;

/// The embeddings of t and r.
#[derive(Clone, Debug, Tree)]
pub(super) struct SanaTimes<L> {
    /// E1.
    #[tree(external = "time_embed")]
    time: TimeModulation<L>,
    /// E2, where r has one.
    #[tree(external = "time_embed_2")]
    target_time: Option<TimeModulation<L>>,
    /// Of t, if the embedders do not see it.
    #[tree(external = "time_sign_embed")]
    sign: Option<SignEmbedding<L>>,
    /// How r joins t.
    join: TargetTime,
    /// What the embedders see of the signs.
    time_sign: TimeSign,
}

/// AdaLN-single (Chen et al. 2023): a time's embedding, and the modulation that all blocks make of it.
#[derive(Clone, Debug, Tree)]
struct TimeModulation<L> {
    #[tree(external = "emb.timestep_embedder")]
    embedder: TimestepEmbedding<L>,
    /// width -> shift, scale and gate of both halves of a block.
    #[tree(external = "linear")]
    modulation: Linear<L>,
}

impl SanaTimes<Init> {
    pub(super) fn new(width: usize, join: TargetTime, time_sign: TimeSign) -> Self {
        let target = || TimeModulation {
            embedder: TimestepEmbedding::normal(width, width, TARGET_STD),
            modulation: Linear::normal(width, 6 * width, TARGET_STD),
        };
        SanaTimes {
            time: TimeModulation {
                embedder: TimestepEmbedding::new(width, width),
                modulation: Linear::fan_in(width, 6 * width),
            },
            target_time: join.has_embedding().then(target),
            sign: time_sign.embedding(width),
            join,
            time_sign,
        }
    }
}

impl<'t> SanaTimes<Tensor<'t>> {
    /// t, r f32 `[b]` in [-1, 1] -> the blocks' modulation `[b, 6, d]` and the embedded time `[b, d]`.
    pub(super) fn forward(&self, t: Tensor<'t>, r: Tensor<'t>) -> (Tensor<'t>, Tensor<'t>) {
        let sign_bd = self.sign.as_ref().map(|sign| sign.forward(t));
        let asked = self.join.asked(t, r);
        let (modulation, embedded) = self.time.forward(self.time_sign.seen(asked), sign_bd);
        let target = self.target_time.as_ref().map(|target| target.forward(self.time_sign.seen(r), None));
        let joined = |first, second| self.join.join(first, second, t, r);
        let modulation = joined(modulation, target.map(|(modulation, _)| modulation));
        let (b, width) = (embedded.dim(0), embedded.dim(1));
        (modulation.reshape([b, 6, width]), joined(embedded, target.map(|(_, embedded)| embedded)))
    }
}

impl<'t> TimeModulation<Tensor<'t>> {
    /// A time f32 `[b]` in units of 1, and what is added to its embedding, `[b, d]` -> `[b, 6 d]`, `[b, d]`.
    fn forward(&self, time: Tensor<'t>, more: Option<Tensor<'t>>) -> (Tensor<'t>, Tensor<'t>) {
        let embedded = self.embedder.forward(time * 1000.0);
        let embedded = more.map_or(embedded, |more| embedded + more);
        (self.modulation.forward(embedded.silu()), embedded)
    }
}

/// Embeddings of a prompt's tokens, brought to the transformer's width and scale.
#[derive(Clone, Debug, Tree)]
pub(super) struct PromptEmbedding<L> {
    /// prompt width -> width.
    #[tree(external = "caption_projection.linear_1")]
    up: Linear<L>,
    /// width -> width.
    #[tree(external = "caption_projection.linear_2")]
    down: Linear<L>,
    #[tree(external = "caption_norm")]
    norm: RmsNorm<L>,
}

impl PromptEmbedding<Init> {
    pub(super) fn new(inputs: usize, width: usize) -> Self {
        PromptEmbedding {
            up: Linear::fan_in(inputs, width),
            down: Linear::fan_in(width, width),
            norm: RmsNorm::with_eps(width, 1e-5),
        }
    }
}

impl<'t> PromptEmbedding<Tensor<'t>> {
    /// `[b, n, c]` -> `[b, n, d]`.
    pub(super) fn forward(&self, text_bnc: Tensor<'t>) -> Tensor<'t> {
        self.norm.forward(self.down.forward(self.up.forward(text_bnc).gelu_tanh()))
    }
}
