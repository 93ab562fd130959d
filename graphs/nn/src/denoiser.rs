//! The role of the networks that are trained: velocity of samples on their way between noise and data.

use twinflow_array::{DType, HostArray, TensorType, Tree, map};
use twinflow_compiler::Tensor;

use crate::{Init, Params};

/// What a network may be conditioned on. What a dataset does not have, or a network does not read, is `None`; the first
/// dim of every leaf runs over samples. "No condition" is a value like any other: data, not code.
#[derive(Clone, Debug, Tree)]
pub struct Condition<L> {
    /// Class labels, i32 `[b]`; the number of classes stands for "no class".
    pub labels: Option<L>,
    /// The prompts' tokens, i32 `[b, n]`, for networks with a [`TextEncoder`](crate::TextEncoder) of their own.
    pub tokens: Option<L>,
    /// Embeddings of the prompts' tokens, f32 `[b, n, c]`.
    pub text: Option<L>,
    /// Which of those tokens count, i32 `[b, n]`: 1 or 0.
    pub text_mask: Option<L>,
    /// One embedding of the whole prompt, f32 `[b, c]`.
    pub pooled_text: Option<L>,
    /// Pictures to go by, as in editing: latents f32 `[b, height, width, channels]`, each of a size of its own.
    pub references: Vec<L>,
}

/// One question to a [`Denoiser`]; its answer has the shape of `x`.
#[derive(Clone, Debug, Tree)]
pub struct DenoiserInput<L> {
    /// Samples `[b, ..]`, of any rank.
    pub x: L,
    /// Their times, f32 `[b]` in [-1, 1]: 1 is noise, 0 is data, a negative time means the model's own fakes.
    pub t: L,
    /// The times to which the average velocity is asked, f32 `[b]` in [-1, 1].
    pub r: L,
    /// What the samples are to show.
    pub condition: Condition<L>,
}

/// A network that predicts the average velocity from time t to time r.
///
/// Products are computed in the element type that the trace says
/// ([`Trace::compute_in`](twinflow_compiler::Trace::compute_in)); parameters, losses and sums are f32.
pub trait Denoiser: Send + Sync {
    /// Types and first values of the parameters.
    fn parameters(&self) -> Params<Init>;

    /// Types of what it reads of one sample's condition: class labels, if it does not say otherwise. Batches and the
    /// sampler hold these fields and no others.
    fn condition(&self) -> Condition<TensorType> {
        Condition::of_labels(TensorType::scalar(DType::I32))
    }

    /// The velocities of the samples, of x's shape.
    ///
    /// # Panics
    /// By a trace error, if the condition lacks what this network reads.
    fn velocity<'t>(&self, params: &Params<Tensor<'t>>, input: &DenoiserInput<Tensor<'t>>) -> Tensor<'t>;
}

impl<L> Default for Condition<L> {
    fn default() -> Self {
        Condition { labels: None, tokens: None, text: None, text_mask: None, pooled_text: None, references: Vec::new() }
    }
}

impl<L> Condition<L> {
    /// Class labels alone.
    pub fn of_labels(labels: L) -> Self {
        Condition { labels: Some(labels), ..Condition::default() }
    }
}

impl Condition<TensorType> {
    /// Types with more dims in front.
    pub fn with_leading(&self, dims: &[usize]) -> Self {
        map(self, |_, ty| TensorType::new(ty.dtype, [dims, &ty.shape[..]].concat()))
    }

    /// "No condition" of these types, for data with that many classes: the label that follows them, zeros elsewhere.
    pub fn null(&self, classes: usize) -> Condition<HostArray> {
        let mut null = map(self, |_, ty| HostArray::zeros(ty.clone()));
        if let Some(labels) = &mut null.labels {
            labels.as_mut_slice::<i32>().expect("labels are i32").fill(classes as i32);
        }
        null
    }
}

impl<'t> Condition<Tensor<'t>> {
    /// Class labels, i32 `[b]`, for samples x.
    ///
    /// # Panics
    /// By a trace error, if there are none.
    #[track_caller]
    pub fn labels_of(&self, x: Tensor<'t>) -> Tensor<'t> {
        match self.labels {
            Some(labels) => labels,
            None => x.trace().fail("condition", "the network reads class labels, and the batch has none".to_owned()),
        }
    }

    /// The prompts' tokens, i32 `[b, n]`, and which of them count, i32 `[b, n]`, for samples x.
    ///
    /// # Panics
    /// By a trace error, if one of them is missing.
    #[track_caller]
    pub fn tokens_of(&self, x: Tensor<'t>) -> (Tensor<'t>, Tensor<'t>) {
        match (self.tokens, self.text_mask) {
            (Some(tokens), Some(mask)) => (tokens, mask),
            _ => {
                x.trace().fail("condition", "the network reads prompts' tokens and their masks, and the batch has none")
            }
        }
    }

    /// Embeddings of the prompts' tokens, f32 `[b, n, c]`, and which of them count, i32 `[b, n]`, for samples x.
    ///
    /// # Panics
    /// By a trace error, if one of them is missing.
    #[track_caller]
    pub fn text_of(&self, x: Tensor<'t>) -> (Tensor<'t>, Tensor<'t>) {
        match (self.text, self.text_mask) {
            (Some(text), Some(mask)) => (text, mask),
            _ => x.trace().fail("condition", "the network reads prompts and their masks, and the batch has none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_condition_is_the_label_after_the_classes_for_every_row() {
        let types = Condition::of_labels(TensorType::scalar(DType::I32)).with_leading(&[2, 3]);
        let null = types.null(10).labels.unwrap();
        assert_eq!(null, HostArray::from_slice([2, 3], &[10i32; 6]).unwrap());
    }
}
