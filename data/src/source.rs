//! What batches are made of.

use crate::DataError;

/// Samples by index: an image `[height, width, channels]` as f32 in about `[-1, 1]`, and a label.
///
/// A sample is a pure function of the source and its index, so any process may ask for any sample at any time.
pub trait Source: Send + Sync {
    /// Height, width and channels of every sample. Points have height and width 1 and one channel per coordinate, so
    /// that one convention serves images and points.
    fn sample_shape(&self) -> [usize; 3];

    /// Number of classes: labels are below it.
    fn classes(&self) -> usize;

    /// Number of samples; `None` if every index names a sample of its own (there are no epochs then).
    fn samples(&self) -> Option<u64>;

    /// Writes the samples of the given indices, in that order: `images` has room for as many samples, row-major, and
    /// `labels` one element for each.
    ///
    /// # Errors
    /// [`DataError::SampleIndex`] for an index that is not below [`Source::samples`], and whatever keeps the source
    /// from being read.
    fn read(&self, indices: &[u64], images: &mut [f32], labels: &mut [i32]) -> Result<(), DataError>;
}
