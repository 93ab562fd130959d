//! The embeddings of t and r under the names of the Qwen and Stable Diffusion transformers in diffusers.

use twinflow_array::{ParamPath, Tree};
use twinflow_compiler::Tensor;
use twinflow_nn::{Init, SignEmbedding, TargetTime, TimeSign, TimestepEmbedding};

/// E1 of the time t and E2 of the target time r.
#[derive(Clone, Debug, Tree)]
pub(super) struct TwoTimesteps<L> {
    #[tree(external = "time_text_embed.timestep_embedder")]
    pub(super) time: TimestepEmbedding<L>,
    /// Where [`TargetTime::has_embedding`] says so.
    #[tree(external = "time_text_embed_2.timestep_embedder")]
    pub(super) target_time: Option<TimestepEmbedding<L>>,
    /// Of t, if the embedders do not see it.
    #[tree(external = "time_sign_embed")]
    pub(super) sign: Option<SignEmbedding<L>>,
    pub(super) join: TargetTime,
    pub(super) time_sign: TimeSign,
}

impl TwoTimesteps<Init> {
    /// With an E2 that starts as [`TargetTime::second`] of E1 does; `path` is where the result sits in the model's tree.
    pub(super) fn new(
        time: TimestepEmbedding<Init>,
        (join, time_sign): (TargetTime, TimeSign),
        width: usize,
        path: &ParamPath,
    ) -> Self {
        let target_time = join.second(&time, &path.join("time"));
        TwoTimesteps { time, target_time, sign: time_sign.embedding(width), join, time_sign }
    }
}

impl<'t> TwoTimesteps<Tensor<'t>> {
    /// t, r f32 `[b]` in [-1, 1] -> `[b, d]`.
    #[track_caller]
    pub(super) fn forward(&self, t: Tensor<'t>, r: Tensor<'t>) -> Tensor<'t> {
        let seen = |time| self.time_sign.seen(time) * 1000.0;
        let time = self.time.forward(seen(self.join.asked(t, r)));
        let target = self.target_time.as_ref().map(|embedding| embedding.forward(seen(r)));
        let joined = self.join.join(time, target, t, r);
        self.sign.as_ref().map_or(joined, |sign| joined + sign.forward(t))
    }
}
