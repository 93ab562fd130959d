//! Embeddings of class labels and of positions.

use twinflow_array::{HostArray, Tree};
use twinflow_compiler::{Tensor, Trace};

use crate::{Init, time::frequencies};

/// One vector per class, and one more for "no class" (label = number of classes).
#[derive(Clone, Debug, Tree)]
pub struct ClassEmbedding<L> {
    /// `[classes + 1, width]`.
    #[tree(external = "weight")]
    pub table: L,
}

impl ClassEmbedding<Init> {
    /// Normal with standard deviation 0.02.
    pub fn new(classes: usize, width: usize) -> Self {
        ClassEmbedding { table: Init::normal([classes + 1, width], 0.02) }
    }
}

impl<'t> ClassEmbedding<Tensor<'t>> {
    /// labels i32 `[b]` -> `[b, width]`.
    #[track_caller]
    pub fn forward(&self, labels: Tensor<'t>) -> Tensor<'t> {
        self.table.take(labels)
    }
}

/// One vector per token of a vocabulary.
#[derive(Clone, Debug, Tree)]
pub struct TokenEmbedding<L> {
    /// `[vocabulary, width]`.
    #[tree(external = "weight")]
    pub table: L,
}

impl TokenEmbedding<Init> {
    /// Normal with that standard deviation.
    pub fn normal(vocabulary: usize, width: usize, std: f64) -> Self {
        TokenEmbedding { table: Init::normal([vocabulary, width], std) }
    }
}

impl<'t> TokenEmbedding<Tensor<'t>> {
    /// tokens i32 `[b, n]` -> `[b, n, width]`.
    #[track_caller]
    pub fn forward(&self, tokens_bn: Tensor<'t>) -> Tensor<'t> {
        let (b, n) = (tokens_bn.dim(0), tokens_bn.dim(1));
        let rows = self.table.take(tokens_bn.reshape([b * n]));
        rows.reshape([b, n, self.table.dim(1)])
    }
}

/// Fixed sine and cosine embedding of a grid's positions, `[height * width, channels]`, row by row: the first half of
/// the channels tells the row, the second the column (as in ViT-MAE and DiT). `channels` is a multiple of 4.
pub fn position_embedding_2d(trace: &Trace, height: usize, width: usize, channels: usize) -> Tensor<'_> {
    let frequencies = frequencies(channels / 4, 1e4);
    let wave = |position: usize| {
        let angles = frequencies.iter().map(move |frequency| frequency * position as f64);
        angles.clone().map(f64::sin).chain(angles.map(f64::cos)).collect::<Vec<_>>()
    };
    let table: Vec<f32> = (0..height * width)
        .flat_map(|token| [wave(token / width), wave(token % width)])
        .flatten()
        .map(|value| value as f32)
        .collect();
    let table = HostArray::from_slice([height * width, channels], &table);
    trace.constant(table.expect("two waves of two times channels / 4 values per token"))
}
