//! Importing data of other formats.

use std::path::Path;

use twinflow_array::{DType, HostArray, TensorType};

use crate::{DataError, DatasetInfo, DatasetMetadata, Verify, idx, labels, write::write_labelled};

/// Class names of Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, table 2), in label order.
pub const FASHION_MNIST_CLASSES: [&str; 10] =
    ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"];

/// Imports images and labels in IDX files (gzipped or not, told by their content) into a dataset file at `target`, and
/// reads it back whole.
///
/// Images are `[n, rows, columns]` (one channel) or `[n, rows, columns, channels]` unsigned bytes; labels integers `[n]`
/// below `metadata.classes`, or one-hot `[n, classes]`. `target` changes only when everything is right.
///
/// # Errors
/// [`DataError::Io`], [`DataError::IdxMagic`], [`DataError::IdxDims`] and [`DataError::IdxLength`] for bad IDX files,
/// [`DataError::NotOneHot`], and those of [`crate::write_dataset`].
pub fn import_idx(
    images: impl AsRef<Path>,
    labels: impl AsRef<Path>,
    target: impl AsRef<Path>,
    metadata: &DatasetMetadata,
) -> Result<DatasetInfo, DataError> {
    let labels = idx::read_labels(labels.as_ref())?;
    let images = idx::read_images(images.as_ref())?;
    let mut dims = images.dims;
    dims.resize(4, 1);
    let found = TensorType::new(DType::U8, dims);
    let pixels = HostArray::from_bytes(found.clone(), &images.bytes).map_err(|_| DataError::ImageType { found })?;
    let labels = labels::in_range(&labels, metadata.classes)?;
    write_labelled(target.as_ref(), &pixels, &labels, metadata, Verify::Yes)
}
