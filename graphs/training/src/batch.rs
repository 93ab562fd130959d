//! What a step trains on.

use twinflow_array::Tree;
use twinflow_nn::Condition;

/// One device's share of a step's batch. Leading dims of every leaf but `null_condition`'s: micro-batches, samples of a
/// micro-batch. A leaf's path is the name of the dataset's field that fills it.
///
/// The rows of a micro-batch lie in the order of the method's [parts](twinflow_methods::Method::parts).
#[derive(Clone, Debug, Tree)]
pub struct Batch<L> {
    /// `[m, b, height, width, channels]`: f32 in [-1, 1], or u8, which is scaled to that.
    pub images: L,
    /// What the samples show.
    #[tree(name = "")]
    pub condition: Condition<L>,
    /// The value of "no condition", once: the first dim of its leaves is 1.
    #[tree(name = "null")]
    pub null_condition: Condition<L>,
    /// Place of each sample in the global batch, u32 `[m, b]`: its random numbers depend on it, and on nothing else of
    /// how the batch is dealt out.
    pub rows: L,
}
