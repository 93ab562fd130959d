//! Importing images and labels of HDF5 files that other programs wrote, by the names of their arrays.

use std::{ops::Range, path::Path};

use hdf5_metno::{File, Group, types::TypeDescriptor};
use twinflow_array::{DType, TensorType};
use twinflow_hdf5::failed;

use crate::{
    DataError, DatasetInfo, DatasetMetadata, Within,
    dataset::{check_range, likely_range},
    images::Images,
    labels::{self, LabelLayout},
    schema::{BYTE_RANGE, file_options},
    stored::Stored,
    write::write_blocks,
};

/// Rows of labels read at once.
const LABEL_ROWS: usize = 1 << 14;
/// Keys of a file that a message names.
const MOST_KEYS: usize = 20;

/// Where the channels of stored images are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageLayout {
    /// `[n, channels, height, width]`.
    Nchw,
    /// `[n, height, width, channels]`.
    Nhwc,
}

/// Which arrays of a file to import, and what they mean.
#[derive(Clone, Debug)]
pub struct Hdf5Arrays {
    /// The array of images, such as `train/images`.
    pub images: String,
    /// The array of labels: whole numbers, or one-hot rows.
    pub labels: String,
    /// Told by the shape where none is given.
    pub layout: Option<ImageLayout>,
    /// The values that stand for black and white. Without them as in dataset files.
    pub range: Option<[f64; 2]>,
    /// Number of classes; without it as many as the labels name.
    pub classes: Option<usize>,
}

/// Imports images and labels of an HDF5 file into a dataset file at `target`, block by block, and reads it back whole.
///
/// Images are `[n, height, width]`, or of four dims with the channels first or last, of any numeric type; bytes stay
/// bytes, all else becomes f32. `target` changes only when everything is right.
///
/// # Errors
/// [`DataError::PictureSet`] for a key that there is not (with those that there are), and for arrays that hold no images
/// or labels; [`DataError::NotFinite`], [`DataError::ValueRange`]; those of [`crate::write_dataset`] for labels;
/// [`DataError::Io`] and [`DataError::Hdf5`] if the disk or the library refuses.
pub fn import_hdf5(
    path: impl AsRef<Path>,
    arrays: &Hdf5Arrays,
    target: impl AsRef<Path>,
    metadata: &DatasetMetadata,
) -> Result<DatasetInfo, DataError> {
    let (path, target) = (path.as_ref(), target.as_ref());
    let file = file_options().open(path).map_err(failed("open", path))?;
    let input = Input { path, file };
    let (images, layout) = input.images(arrays)?;
    let (labels, classes) = input.labels(arrays)?;
    let metadata = DatasetMetadata { classes, ..metadata.clone() };
    let samples = images.ty().shape[0];
    if labels.len() != samples {
        return Err(DataError::CountMismatch { images: samples, labels: labels.len() });
    }
    let scan = images.scan().map_err(failed("read images of", path))?;
    if let Some((index, value)) = scan.not_finite {
        return Err(DataError::NotFinite { index, value });
    }
    let usual = if images.ty().dtype == DType::U8 { BYTE_RANGE } else { likely_range(scan.range) };
    let range = arrays.range.unwrap_or(usual);
    check_range(&scan, range)?;
    let shape = images.ty().shape.clone();
    let next_rows = |rows: Range<usize>, out: &mut [u8]| match layout {
        ImageLayout::Nhwc => images.read_rows(rows, out),
        ImageLayout::Nchw => {
            let mut stored = vec![0; out.len()];
            images.read_rows(rows, &mut stored)?;
            let value = images.ty().dtype.size();
            channels_last(&stored, [shape[1] * shape[2], shape[3], value], out);
            Ok(())
        }
    };
    write_blocks(target, images.ty(), &labels, &metadata, range, next_rows)
}

struct Input<'p> {
    path: &'p Path,
    file: File,
}

impl Input<'_> {
    /// The images with their type `[n, height, width, channels]`, and how they lie.
    fn images(&self, arrays: &Hdf5Arrays) -> Result<(Images, ImageLayout), DataError> {
        let stored = self.open(&arrays.images)?;
        let dtype = match stored.element {
            TypeDescriptor::Unsigned(hdf5_metno::types::IntSize::U1) => DType::U8,
            _ => DType::F32,
        };
        let layout = arrays.layout.or_else(|| likely_layout(&stored.shape));
        let dims = match (&stored.shape[..], layout) {
            (shape, _) if shape.contains(&0) => None,
            (&[n, height, width], _) => Some(([n, height, width, 1], ImageLayout::Nhwc)),
            (&[n, height, width, channels], Some(layout @ ImageLayout::Nhwc))
            | (&[n, channels, height, width], Some(layout @ ImageLayout::Nchw)) => {
                Some(([n, height, width, channels], layout))
            }
            (&[_, _, _, _], None) => {
                let reason =
                    format!("'{}' is {}: say where its channels are by --layout", arrays.images, stored.describe());
                return Err(self.refused(reason));
            }
            _ => None,
        };
        let Some((dims, layout)) = dims else {
            let asked = "images are [n, height, width], [n, height, width, channels] or [n, channels, height, width]";
            return Err(self.refused(format!("'{}' is {}: {asked}", arrays.images, stored.describe())));
        };
        Ok((Images::OnDisk { stored, ty: TensorType::new(dtype, dims) }, layout))
    }

    /// The labels, and the number of classes.
    fn labels(&self, arrays: &Hdf5Arrays) -> Result<(Vec<i32>, usize), DataError> {
        let stored = self.open(&arrays.labels)?;
        let asked = "labels are whole numbers [n], or one-hot [n, classes]";
        let layout = LabelLayout::of(&stored.shape);
        let layout =
            layout.ok_or_else(|| self.refused(format!("'{}' is {}: {asked}", arrays.labels, stored.describe())))?;
        let mut labels = Vec::new();
        for first in (0..stored.shape[0]).step_by(LABEL_ROWS) {
            let rows = stored.rows::<f64>(first..stored.shape[0].min(first + LABEL_ROWS));
            labels.extend(layout.labels(&rows.map_err(failed("read labels of", self.path))?, first)?);
        }
        let classes = arrays.classes.unwrap_or_else(|| layout.classes(&labels));
        Ok((labels::in_range(&labels, classes)?, classes))
    }

    /// An array of numbers, whole.
    fn open(&self, key: &str) -> Result<Stored, DataError> {
        let stored = match Stored::open(&self.file, key) {
            Ok(stored) => stored,
            Err(error) => {
                let mut keys = Vec::new();
                add_keys(&self.file, &mut keys);
                if keys.iter().any(|known| known == key.trim_start_matches('/')) {
                    return Err(failed("open an array of", self.path)(error).into());
                }
                let more = if keys.len() > MOST_KEYS { ", .." } else { "" };
                keys.truncate(MOST_KEYS);
                return Err(self.refused(format!("there is no array '{key}' (it has: {}{more})", keys.join(", "))));
            }
        };
        let file_bytes = std::fs::metadata(self.path).map_or(u64::MAX, |metadata| metadata.len());
        let written = stored.share_written(file_bytes);
        match stored.element {
            _ if written < 1.0 => {
                let percent = (written * 100.0) as u32;
                Err(self
                    .refused(format!("{percent} % of '{key}' were written, the rest reads as zeros: write it again")))
            }
            TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_) | TypeDescriptor::Float(_)
                if stored.fits(file_bytes) =>
            {
                Ok(stored)
            }
            _ => Err(self.refused(format!("'{key}' is {}; it must be an array of numbers", stored.describe()))),
        }
    }

    fn refused(&self, reason: String) -> DataError {
        DataError::PictureSet { path: self.path.to_owned(), within: Within::All, reason }
    }
}

/// The layout of four dims of which one alone can be the channels.
fn likely_layout(shape: &[usize]) -> Option<ImageLayout> {
    let is_channels = |dim: &usize| [1, 3, 4].contains(dim);
    match shape {
        [_, first, _, last] if is_channels(first) != is_channels(last) => {
            Some(if is_channels(first) { ImageLayout::Nchw } else { ImageLayout::Nhwc })
        }
        _ => None,
    }
}

/// The arrays below a group, by their paths from the file; no more than a message has place for.
fn add_keys(group: &Group, keys: &mut Vec<String>) {
    let arrays = group.datasets().unwrap_or_default();
    keys.extend(arrays.iter().map(|array| array.name().trim_start_matches('/').to_owned()));
    for group in group.groups().unwrap_or_default() {
        if keys.len() <= MOST_KEYS {
            add_keys(&group, keys);
        }
    }
}

/// Images `[channels, pixels]` as `[pixels, channels]`, of values of `size` bytes.
fn channels_last(stored: &[u8], [pixels, channels, size]: [usize; 3], out: &mut [u8]) {
    let image = pixels * channels * size;
    for (stored, out) in stored.chunks_exact(image).zip(out.chunks_exact_mut(image)) {
        for (place, value) in out.chunks_exact_mut(size).enumerate() {
            let at = (place % channels * pixels + place / channels) * size;
            value.copy_from_slice(&stored[at..at + size]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_told_by_their_number() {
        use ImageLayout::{Nchw, Nhwc};
        let layouts = [[9, 3, 32, 32], [9, 32, 32, 1], [9, 3, 32, 3], [9, 8, 8, 2]].map(|shape| likely_layout(&shape));
        assert_eq!(layouts, [Some(Nchw), Some(Nhwc), None, None]);
    }

    #[test]
    fn channels_go_last_image_by_image() {
        let mut out = [0; 16];
        // Two images of two channels and two pixels, of values of two bytes.
        channels_last(&[0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17], [2, 2, 2], &mut out);
        assert_eq!(out, [0, 1, 4, 5, 2, 3, 6, 7, 10, 11, 14, 15, 12, 13, 16, 17]);
    }
}
