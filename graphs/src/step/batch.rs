//! What a step trains on.

use twinflow_array::Tree;

/// One shard's share of a step's batch. Leading dims of every leaf: micro-batches, samples of a micro-batch.
///
/// The rows of a micro-batch are in the order of [`Parts`](crate::twinflow::Parts); `Parts::rows` tells which samples
/// of the global batch they are.
#[derive(Clone, Debug, Tree)]
pub struct Batch<L> {
    /// `[m, b, height, width, channels]`: f32 in [-1, 1], or u8, which is scaled to that.
    pub samples: L,
    /// Class labels, i32 `[m, b]`.
    pub labels: L,
    /// Place of each sample in the global batch, u32 `[m, b]`: its random numbers depend on it, and on nothing else of
    /// how the batch is dealt out.
    pub rows: L,
}
