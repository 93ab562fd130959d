//! The embeddings of t and r under the names of the Qwen and Stable Diffusion transformers in diffusers.

use twinflow_array::{ParamPath, Tree};
use twinflow_compiler::Tensor;
use twinflow_nn::{Init, TargetTime, TimestepEmbedding};

/// E1 of the time t and E2 of the target time r.
#[derive(Clone, Debug, Tree)]
pub(super) struct TwoTimesteps<L> {
    #[tree(external = "time_text_embed.timestep_embedder")]
    pub(super) time: TimestepEmbedding<L>,
    /// Where [`TargetTime::has_embedding`] says so.
    #[tree(external = "time_text_embed_2.timestep_embedder")]
    pub(super) target_time: Option<TimestepEmbedding<L>>,
    pub(super) join: TargetTime,
}

impl TwoTimesteps<Init> {
    /// With an E2 that starts as [`TargetTime::second`] of E1 does; `path` is where the result sits in the model's tree.
    pub(super) fn new(time: TimestepEmbedding<Init>, join: TargetTime, path: &ParamPath) -> Self {
        let target_time = join.second(&time, &path.join("time"));
        TwoTimesteps { time, target_time, join }
    }
}

impl<'t> TwoTimesteps<Tensor<'t>> {
    /// t, r f32 `[b]` in [-1, 1] -> `[b, d]`.
    #[track_caller]
    pub(super) fn forward(&self, t: Tensor<'t>, r: Tensor<'t>) -> Tensor<'t> {
        let time = self.time.forward(self.join.asked(t, r) * 1000.0);
        let target = self.target_time.as_ref().map(|embedding| embedding.forward(r * 1000.0));
        self.join.join(time, target, t, r)
    }
}
