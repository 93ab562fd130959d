//! The embeddings of t and r.

use twinflow_array::Tree;
use twinflow_compiler::Tensor;
use twinflow_nn::{TargetTime, TimestepEmbedding};

/// E1 of the time t and E2 of the target time r.
#[derive(Clone, Debug, Tree)]
pub(in crate::denoisers) struct TwoTimesteps<L> {
    #[tree(external = "time_text_embed.timestep_embedder")]
    pub(in crate::denoisers) time: TimestepEmbedding<L>,
    /// Where [`TargetTime::has_embedding`] says so.
    #[tree(external = "time_text_embed_2.timestep_embedder")]
    pub(in crate::denoisers) target_time: Option<TimestepEmbedding<L>>,
    pub(in crate::denoisers) join: TargetTime,
}

impl<'t> TwoTimesteps<Tensor<'t>> {
    /// t, r f32 `[b]` in [-1, 1] -> `[b, d]`.
    #[track_caller]
    pub(in crate::denoisers) fn forward(&self, t: Tensor<'t>, r: Tensor<'t>) -> Tensor<'t> {
        let time = self.time.forward(self.join.asked(t, r) * 1000.0);
        let target = self.target_time.as_ref().map(|embedding| embedding.forward(r * 1000.0));
        self.join.join(time, target, t, r)
    }
}
