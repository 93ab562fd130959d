//! Checksums of stored datasets.

use std::{ops::Range, path::Path};

use hdf5_metno::{Dataset as Hdf5Dataset, H5Type};
use ndarray::Ix4;
use twinflow_array::{DType, Element, TensorType};

use crate::{DataError, error::hdf5_error};

/// Bytes read at once for a checksum: large enough for full speed, small beside the images.
const BLOCK_BYTES: usize = 4 << 20;

/// CRC-32 of elements in memory.
pub(crate) fn of_slice<T: Element>(elements: &[T]) -> u32 {
    crc32fast::hash(bytemuck::cast_slice(elements))
}

/// CRC-32 of stored images `[n, height, width, channels]`, block by block.
pub(crate) fn of_images(images: &Hdf5Dataset, image_type: &TensorType) -> hdf5_metno::Result<u32> {
    let samples = image_type.shape[0];
    let rows = (BLOCK_BYTES / (image_type.bytes() / samples)).max(1);
    let mut hasher = crc32fast::Hasher::new();
    for start in (0..samples).step_by(rows) {
        let block = start..samples.min(start + rows);
        match image_type.dtype {
            DType::U8 => hasher.update(&read_rows::<u8>(images, block)?),
            _ => hasher.update(bytemuck::cast_slice(&read_rows::<f32>(images, block)?)),
        }
    }
    Ok(hasher.finalize())
}

/// The checksum written beside a dataset.
pub(crate) fn stored(path: &Path, dataset: &Hdf5Dataset) -> Result<u32, DataError> {
    let checksum = dataset.attr("checksum").and_then(|attribute| attribute.read_scalar());
    checksum.map_err(hdf5_error("read a checksum of", path))
}

/// Refuses bytes that are not those written.
pub(crate) fn compare(path: &Path, dataset: &'static str, expected: u32, found: u32) -> Result<(), DataError> {
    if expected == found {
        Ok(())
    } else {
        Err(DataError::Checksum { path: path.to_owned(), dataset, expected, found })
    }
}

/// The images of consecutive samples, row-major.
pub(crate) fn read_rows<T: Element + H5Type>(images: &Hdf5Dataset, rows: Range<usize>) -> hdf5_metno::Result<Vec<T>> {
    Ok(images.read_slice::<T, _, Ix4>((rows, .., .., ..))?.into_raw_vec_and_offset().0)
}
