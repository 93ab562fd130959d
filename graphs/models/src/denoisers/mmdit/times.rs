//! The embeddings of t and r.

use twinflow_array::Tree;
use twinflow_compiler::Tensor;
use twinflow_nn::{TargetTime, TimestepEmbedding};

/// E1 of the time t and E2 of the target time r.
#[derive(Clone, Debug, Tree)]
pub(in crate::denoisers) struct TwoTimesteps<L> {
    #[tree(external = "time_text_embed.timestep_embedder")]
    pub(in crate::denoisers) time: TimestepEmbedding<L>,
    /// `None`: the network as it was published, which is not told r.
    #[tree(external = "time_text_embed_2.timestep_embedder")]
    pub(in crate::denoisers) target_time: Option<TimestepEmbedding<L>>,
    pub(in crate::denoisers) join: TargetTime,
}

impl<'t> TwoTimesteps<Tensor<'t>> {
    /// t, r f32 `[b]` in [-1, 1] -> `[b, d]`.
    #[track_caller]
    pub(in crate::denoisers) fn forward(&self, t: Tensor<'t>, r: Tensor<'t>) -> Tensor<'t> {
        let time = self.time.forward(t * 1000.0);
        let Some(target_time) = &self.target_time else { return time };
        let target = target_time.forward(r * 1000.0);
        match self.join {
            TargetTime::Embedding => time + target,
            TargetTime::Difference => time + target * (t - r).expand_dims(-1),
        }
    }
}
