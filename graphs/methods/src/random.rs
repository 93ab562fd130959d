//! Random numbers by name: each depends on the key, the step, its name, the sample's place in the global batch and the
//! element, and on nothing else; so neither micro-batches nor devices nor processes change it.

use twinflow_compiler::{Key, Shape, Tensor};

/// A stream of random numbers. The names are part of what makes runs repeatable.
#[derive(Clone, Copy, Debug)]
pub struct Draw(&'static str);

impl Draw {
    /// Noise at the other end of a sample's path.
    pub const NOISE: Draw = Draw::named("noise");
    /// Times.
    pub const TIME: Draw = Draw::named("time");

    /// The stream of this name.
    pub const fn named(name: &'static str) -> Self {
        Draw(name)
    }

    /// Uniform in [0, 1), one number per row: f32 `[b]`.
    #[track_caller]
    pub fn uniform<'t>(self, key: Key<'t>, rows: Tensor<'t>) -> Tensor<'t> {
        key.fold_in_name(self.0).uniform_at(rows, 1).reshape([rows.dim(0)])
    }

    /// Standard normal samples `[b, ..]` of the given shape of one sample.
    #[track_caller]
    pub fn normal<'t>(self, key: Key<'t>, rows: Tensor<'t>, sample: &Shape) -> Tensor<'t> {
        let shape: Shape = std::iter::once(rows.dim(0)).chain(sample.iter().copied()).collect();
        key.fold_in_name(self.0).normal_at(rows, sample.elements()).reshape(shape)
    }
}
