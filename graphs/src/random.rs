//! Random numbers by name: each depends on the key, the step, its name, the sample's place in the global batch and the
//! element, and on nothing else; so neither micro-batches nor devices nor processes change it.

use twinflow_compiler::{Shape, Tensor, random::Key};

/// The random numbers that training and sampling use. The values are part of what makes runs repeatable.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Draw {
    Time = 0,
    AnyTarget = 1,
    MulTarget = 2,
    ImageFree = 3,
    Fake = 4,
    Noise = 5,
    RectifyNoise = 6,
    RectifyTime = 7,
    NullClass = 8,
    SampleStart = 9,
    SampleNoise = 10,
}

impl Draw {
    /// Uniform in [0, 1), one number per row: f32 [b].
    #[track_caller]
    pub(crate) fn uniform<'t>(self, key: Key<'t>, rows: Tensor<'t>) -> Tensor<'t> {
        key.fold_in(self as u32).uniform_at(rows, 1).reshape([rows.dim(0)])
    }

    /// Standard normal samples [b, ..] of the given shape of one sample.
    #[track_caller]
    pub(crate) fn normal<'t>(self, key: Key<'t>, rows: Tensor<'t>, sample: &Shape) -> Tensor<'t> {
        let shape: Shape = std::iter::once(rows.dim(0)).chain(sample.iter().copied()).collect();
        key.fold_in(self as u32).normal_at(rows, sample.elements()).reshape(shape)
    }
}
