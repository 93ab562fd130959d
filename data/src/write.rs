//! Writing a dataset file.

use std::{fs, path::Path};

use hdf5_metno::{Dataset as Hdf5Dataset, File, H5Type};
use ndarray::ArrayView4;
use twinflow_array::{DType, Element, HostArray};
use twinflow_files::{PartialFile, folder_of};
use twinflow_hdf5::{MAX_TEXT, failed, write_text};

use crate::{
    DataError, DatasetMetadata, IMAGES, LABELS, SCHEMA_NAME, SCHEMA_VERSION, error::io_error, labels,
    schema::file_options,
};

/// Bytes per chunk, about: large enough for a short index and fast whole reads on network file systems.
const CHUNK_BYTES: usize = 64 << 10;

/// Writes a dataset file: `images` u8 or f32 (about in `[-1, 1]`) `[n, height, width, channels]`, one label per image.
///
/// The file appears under its name only when it is complete and on disk: it is written to a temporary name in the same
/// folder (made if missing), synced and renamed, and replaces an older file of that name.
///
/// # Errors
/// [`DataError::ImageType`], [`DataError::NotFinite`], [`DataError::CountMismatch`], [`DataError::LabelRange`],
/// [`DataError::Classes`], [`DataError::ClassNames`] and [`DataError::TextLength`] for data that make no dataset
/// (nothing is written then); [`DataError::Io`] and [`DataError::Hdf5`] if the disk or the library refuses.
pub fn write_dataset(
    path: impl AsRef<Path>,
    images: &HostArray,
    labels: &[i32],
    metadata: &DatasetMetadata,
) -> Result<(), DataError> {
    let path = path.as_ref();
    let shape = check_images(images)?;
    check_labels(labels, shape[0], metadata)?;
    check_texts(metadata)?;
    let folder = folder_of(path);
    fs::create_dir_all(folder).map_err(io_error("create the folder", folder))?;
    let partial = PartialFile::create(path).map_err(io_error("create", path))?;
    write_file(partial.path(), shape, images, labels, metadata)?;
    partial.publish().map_err(io_error("finish", path))
}

fn check_images(images: &HostArray) -> Result<[usize; 4], DataError> {
    let refused = || DataError::ImageType { found: images.ty().clone() };
    let shape: [usize; 4] = images.shape().as_ref().try_into().map_err(|_| refused())?;
    if shape.contains(&0) || !matches!(images.dtype(), DType::U8 | DType::F32) {
        return Err(refused());
    }
    if let Ok(pixels) = images.as_slice::<f32>()
        && let Some(at) = pixels.iter().position(|pixel| !pixel.is_finite())
    {
        return Err(DataError::NotFinite { index: at / shape[1..].iter().product::<usize>(), value: pixels[at] });
    }
    Ok(shape)
}

fn check_labels(labels: &[i32], images: usize, metadata: &DatasetMetadata) -> Result<(), DataError> {
    let (classes, names) = (metadata.classes, metadata.class_names.len());
    labels::check_classes(classes)?;
    if names != 0 && names != classes {
        return Err(DataError::ClassNames { names, classes });
    }
    if labels.len() != images {
        return Err(DataError::CountMismatch { images, labels: labels.len() });
    }
    labels::in_range(&labels.iter().map(|label| i64::from(*label)).collect::<Vec<_>>(), classes).map(drop)
}

fn check_texts(metadata: &DatasetMetadata) -> Result<(), DataError> {
    let class_names = class_names_json(metadata).len();
    let lengths = [("name", metadata.name.len()), ("source", metadata.source.len()), ("class names", class_names)];
    match lengths.into_iter().find(|(_, bytes)| *bytes > MAX_TEXT) {
        Some((attribute, bytes)) => Err(DataError::TextLength { attribute, bytes, limit: MAX_TEXT }),
        None => Ok(()),
    }
}

fn class_names_json(metadata: &DatasetMetadata) -> String {
    serde_json::Value::from(metadata.class_names.clone()).to_string()
}

fn write_file(
    path: &Path,
    shape: [usize; 4],
    images: &HostArray,
    labels: &[i32],
    metadata: &DatasetMetadata,
) -> Result<(), DataError> {
    let write = || {
        let file = file_options().create(path)?;
        let value_range = match images.as_slice::<f32>() {
            Ok(pixels) => write_images(&file, shape, pixels).map(|()| [-1.0, 1.0])?,
            Err(_) => write_images(&file, shape, images.bytes()).map(|()| [0.0, 255.0])?,
        };
        let stored = file.new_dataset::<i32>().shape(labels.len()).create(LABELS)?;
        stored.write(labels)?;
        write_checksum(&stored, labels)?;
        write_attributes(&file, metadata, value_range)?;
        file.close()
    };
    Ok(write().map_err(failed("write", path))?)
}

fn write_images<T: Element + H5Type>(file: &File, shape: [usize; 4], pixels: &[T]) -> hdf5_metno::Result<()> {
    let row_bytes = shape[1..].iter().product::<usize>() * size_of::<T>();
    let chunk = [(CHUNK_BYTES / row_bytes).clamp(1, shape[0]), shape[1], shape[2], shape[3]];
    let stored = file.new_dataset::<T>().chunk(chunk).shape(shape).create(IMAGES)?;
    stored.write(ArrayView4::from_shape(shape, pixels)?)?;
    write_checksum(&stored, pixels)
}

fn write_checksum<T: Element>(stored: &Hdf5Dataset, elements: &[T]) -> hdf5_metno::Result<()> {
    let checksum = crc32fast::hash(bytemuck::cast_slice(elements));
    stored.new_attr::<u32>().create("checksum")?.write_scalar(&checksum)
}

fn write_attributes(file: &File, metadata: &DatasetMetadata, value_range: [f64; 2]) -> hdf5_metno::Result<()> {
    write_text(file, "schema", SCHEMA_NAME)?;
    file.new_attr::<u32>().create("schema_version")?.write_scalar(&SCHEMA_VERSION)?;
    write_text(file, "name", &metadata.name)?;
    write_text(file, "source", &metadata.source)?;
    file.new_attr::<u32>().create("classes")?.write_scalar(&(metadata.classes as u32))?;
    write_text(file, "class_names", &class_names_json(metadata))?;
    file.new_attr::<f64>().shape(2).create("value_range")?.write(&value_range)
}
