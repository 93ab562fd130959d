//! What batches are made of.

use std::collections::BTreeMap;

use twinflow_array::{DType, HostArray, TensorType};
use twinflow_tokenizer::Tokenizer;

use crate::{Buckets, DataError};

/// Name of the field that every source has: `[height, width, channels]`, u8 in `[0, 255]` or f32 in about `[-1, 1]`.
pub const IMAGES: &str = "images";
/// Name of the field of classes: i32, no dims.
pub const LABELS: &str = "labels";
/// Name of the field of prompts' embeddings: f32 `[tokens, width]`.
pub const TEXT: &str = "text";
/// Name of the field of prompts' tokens: i32 `[tokens]`.
pub const TOKENS: &str = "tokens";
/// Name of the field that says which of those tokens count: i32 `[tokens]`, 1 or 0.
pub const TEXT_MASK: &str = "text_mask";
/// Name of the field of one embedding of the whole prompt: f32 `[width]`.
pub const POOLED_TEXT: &str = "pooled_text";

/// Arrays by field, each `[b, ..]`: one row per sample.
pub type Fields = BTreeMap<String, HostArray>;

/// A sample's turn: the same sample may look different in another epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Which sample.
    pub index: u64,
    /// How often all samples were visited before; 0 in a source without end.
    pub epoch: u64,
    /// Of what may differ: equal seeds give equal samples.
    pub seed: u64,
}

impl Visit {
    /// The first visit of a sample, where there is no training.
    pub fn first(index: u64) -> Self {
        Visit { index, epoch: 0, seed: 0 }
    }
}

/// A named array that each sample of a source has.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Such as [`IMAGES`].
    pub name: String,
    /// Element type and shape of one sample.
    pub ty: TensorType,
}

/// Samples by index. A sample is a pure function of the source and its visit, so any process may ask for any sample at
/// any time.
pub trait Source: Send + Sync {
    /// What a sample consists of; [`IMAGES`] is always among it, in the shape of the bucket with most samples. Points
    /// are images of height and width 1 with one channel per coordinate, so that one convention serves both.
    fn fields(&self) -> Vec<Field>;

    /// Samples by the shape of their images; they differ in nothing else.
    fn buckets(&self) -> Buckets {
        Buckets::single(self.sample_shape(), self.samples())
    }

    /// Number of classes: labels are below it.
    fn classes(&self) -> usize;

    /// Number of samples; `None` if every index names a sample of its own (there are no epochs then).
    fn samples(&self) -> Option<u64>;

    /// Writes the samples of the given visits, in that order, into one array `[visits.len(), ..]` for each of
    /// [`Source::fields`], images in the shape of the first visit's bucket.
    ///
    /// # Errors
    /// [`DataError::SampleIndex`] for an index that is not below [`Source::samples`], [`DataError::OtherShape`] for
    /// samples of several buckets, and whatever keeps the source from being read.
    fn read(&self, visits: &[Visit], fields: &mut [HostArray]) -> Result<(), DataError>;

    /// The samples of the given indices, in that order, as they are on their first visit.
    ///
    /// # Errors
    /// As [`Source::read`].
    fn gather(&self, indices: &[u64]) -> Result<Fields, DataError> {
        self.gather_visits(&indices.iter().map(|index| Visit::first(*index)).collect::<Vec<_>>())
    }

    /// The samples of the given visits, in that order.
    ///
    /// # Errors
    /// As [`Source::read`].
    fn gather_visits(&self, visits: &[Visit]) -> Result<Fields, DataError> {
        let mut fields = self.fields();
        if let (Some(visit), Some(images)) = (visits.first(), fields.iter_mut().find(|field| field.name == IMAGES)) {
            let buckets = self.buckets();
            images.ty.shape = buckets.all()[buckets.of_sample(visit.index)].shape.into();
        }
        let mut arrays: Vec<_> =
            fields.iter().map(|field| HostArray::zeros(rows_of(&field.ty, visits.len()))).collect();
        self.read(visits, &mut arrays)?;
        Ok(fields.into_iter().map(|field| field.name).zip(arrays).collect())
    }

    /// Element type and shape `[height, width, channels]` of an image of the bucket with most samples.
    fn image_type(&self) -> TensorType {
        let images = self.fields().into_iter().find(|field| field.name == IMAGES);
        images.expect("every source has images").ty
    }

    /// The caption that a sample has on a visit, for sources of captions.
    fn caption(&self, _: Visit) -> Option<String> {
        None
    }

    /// What makes tokens of prompts, for sources of captions that have it.
    fn tokenizer(&self) -> Option<&Tokenizer> {
        None
    }

    /// Numbers that a token of [`TOKENS`] may have, for sources of prompts' tokens.
    fn vocabulary(&self) -> usize {
        self.tokenizer().map_or(0, Tokenizer::vocabulary)
    }

    /// Sizes of the prompts, zeros where there are none.
    fn text_shape(&self) -> TextShape {
        let mut text = TextShape::default();
        for Field { name, ty } in self.fields() {
            match (name.as_str(), &ty.shape[..]) {
                (TOKENS, &[tokens]) => (text.tokens, text.vocabulary) = (tokens, self.vocabulary()),
                (TEXT, &[tokens, width]) => (text.tokens, text.width) = (tokens, width),
                (POOLED_TEXT, &[pooled]) => text.pooled = pooled,
                _ => {}
            }
        }
        text
    }

    /// Height, width and channels of an image of the bucket with most samples.
    fn sample_shape(&self) -> [usize; 3] {
        (*self.image_type().shape).try_into().expect("images are [height, width, channels]")
    }
}

fn rows_of(ty: &TensorType, rows: usize) -> TensorType {
    TensorType::new(ty.dtype, [&[rows], &ty.shape[..]].concat())
}

/// Sizes of prompts, which come as tokens or as embeddings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextShape {
    /// Tokens of a prompt, padding included; 0: no prompts.
    pub tokens: usize,
    /// Numbers that a token may have, where prompts come as tokens; 0: they come as embeddings.
    pub vocabulary: usize,
    /// Numbers of a token's embedding; 0 where prompts come as tokens.
    pub width: usize,
    /// Numbers of the embedding of the whole prompt; 0: none.
    pub pooled: usize,
}

impl TextShape {
    /// The fields of prompts of these sizes.
    pub(crate) fn fields(self) -> Vec<Field> {
        let field = |name: &str, ty| Field { name: name.to_owned(), ty };
        let numbers = || TensorType::new(DType::I32, [self.tokens]);
        let embeddings = || field(TEXT, TensorType::f32([self.tokens, self.width]));
        let tokens = if self.vocabulary > 0 { field(TOKENS, numbers()) } else { embeddings() };
        let tokens = [tokens, field(TEXT_MASK, numbers())];
        let pooled = field(POOLED_TEXT, TensorType::f32([self.pooled]));
        let tokens = tokens.into_iter().filter(|_| self.tokens > 0);
        tokens.chain([pooled].into_iter().filter(|_| self.pooled > 0)).collect()
    }
}

/// The fields of images with labels, in the order in which [`pixels_and_labels`] takes them.
pub(crate) fn image_fields(dtype: DType, shape: [usize; 3]) -> Vec<Field> {
    let field = |name: &str, ty| Field { name: name.to_owned(), ty };
    vec![field(IMAGES, TensorType::new(dtype, shape)), field(LABELS, TensorType::scalar(DType::I32))]
}

/// The elements of f32 images and their labels.
pub(crate) fn pixels_and_labels(fields: &mut [HostArray]) -> (&mut [f32], &mut [i32]) {
    let [images, labels] = fields else { unreachable!("a source is given the fields that it names") };
    (bytemuck::cast_slice_mut(images.bytes_mut()), bytemuck::cast_slice_mut(labels.bytes_mut()))
}

/// Images as f32 in about `[-1, 1]`, as the compiled step scales them: byte 0 becomes -1, byte 255 becomes 1.
pub fn to_unit_range(images: &HostArray) -> HostArray {
    if images.dtype() != DType::U8 {
        return images.clone();
    }
    let mut scaled = HostArray::zeros(TensorType::new(DType::F32, images.shape().clone()));
    let out: &mut [f32] = bytemuck::cast_slice_mut(scaled.bytes_mut());
    out.iter_mut().zip(images.bytes()).for_each(|(out, byte)| *out = byte_to_unit(*byte));
    scaled
}

/// A pixel's byte in `[-1, 1]`.
pub fn byte_to_unit(byte: u8) -> f32 {
    f32::from(byte) / 127.5 - 1.0
}
