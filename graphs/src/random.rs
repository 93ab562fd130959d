//! Random numbers by name: each depends on the key, the step, its name, the sample's place in the global batch and the
//! element, and on nothing else; so neither micro-batches nor devices nor processes change it.

use twinflow_compiler::{Key, Shape, Tensor};

/// A stream of random numbers. The names are part of what makes runs repeatable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw(&'static str);

impl Draw {
    pub(crate) const TIME: Draw = Draw("time");
    pub(crate) const ANY_TARGET: Draw = Draw("any_target");
    pub(crate) const MUL_TARGET: Draw = Draw("mul_target");
    pub(crate) const IMAGE_FREE: Draw = Draw("image_free");
    pub(crate) const FAKE: Draw = Draw("fake");
    pub(crate) const NOISE: Draw = Draw("noise");
    pub(crate) const RECTIFY_NOISE: Draw = Draw("rectify_noise");
    pub(crate) const RECTIFY_TIME: Draw = Draw("rectify_time");
    pub(crate) const GUIDANCE_CLASS: Draw = Draw("guidance_class");
    pub(crate) const NULL_CLASS: Draw = Draw("null_class");
    pub(crate) const SAMPLE_START: Draw = Draw("sample_start");
    pub(crate) const SAMPLE_NOISE: Draw = Draw("sample_noise");

    /// Uniform in [0, 1), one number per row: f32 `[b]`.
    #[track_caller]
    pub(crate) fn uniform<'t>(self, key: Key<'t>, rows: Tensor<'t>) -> Tensor<'t> {
        key.fold_in_name(self.0).uniform_at(rows, 1).reshape([rows.dim(0)])
    }

    /// Standard normal samples `[b, ..]` of the given shape of one sample.
    #[track_caller]
    pub(crate) fn normal<'t>(self, key: Key<'t>, rows: Tensor<'t>, sample: &Shape) -> Tensor<'t> {
        let shape: Shape = std::iter::once(rows.dim(0)).chain(sample.iter().copied()).collect();
        key.fold_in_name(self.0).normal_at(rows, sample.elements()).reshape(shape)
    }
}
