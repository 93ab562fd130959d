//! Writing a dataset file.

use std::{
    fs,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
    thread,
};

use hdf5_metno::{
    Dataset as Hdf5Dataset, File, H5Type,
    plist::dataset_create::{AllocTime, FillTime},
};
use ndarray::ArrayView4;
use twinflow_array::{DType, Element, HostArray, TensorType};
use twinflow_files::{PartialFile, folder_of};
use twinflow_hdf5::{MAX_TEXT, failed, write_text};

use crate::{
    DataError, Dataset, DatasetInfo, DatasetMetadata, IMAGES, LABELS, SCHEMA_NAME, Verify,
    captions::Captions,
    error::io_error,
    image_arrays::array_name,
    labels,
    schema::{BYTE_RANGE, file_options, schema_version},
    stored::write_checksum,
};

/// Bytes per chunk, about: large enough for a short index and fast whole reads on network file systems.
const CHUNK_BYTES: usize = 64 << 10;
/// Bytes of images written at once where they come block by block.
const BLOCK_BYTES: usize = 4 << 20;

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
    write_labelled(path.as_ref(), images, labels, metadata, Verify::No).map(drop)
}

/// [`write_dataset`], with the file read back before it appears.
pub(crate) fn write_labelled(
    path: &Path,
    images: &HostArray,
    labels: &[i32],
    metadata: &DatasetMetadata,
    verify: Verify,
) -> Result<DatasetInfo, DataError> {
    let shape = check_images(images)?;
    check_labels(labels, shape[0], metadata)?;
    publish(path, metadata, verify, |file| {
        let value_range = match images.as_slice::<f32>() {
            Ok(pixels) => write_images(file, shape, pixels).map(|()| [-1.0, 1.0])?,
            Err(_) => write_images(file, shape, images.bytes()).map(|()| BYTE_RANGE)?,
        };
        write_labels(file, labels)?;
        write_attributes(file, metadata, schema_version(false, 1), value_range)
    })
}

/// Writes a dataset of u8 or f32 images `[n, height, width, channels]` whose bytes `next_rows` gives block by block, in
/// order. The file appears as that of [`write_dataset`] does, and only if it was read back whole.
///
/// # Errors
/// As [`write_dataset`]; what `next_rows` met.
pub(crate) fn write_blocks(
    path: &Path,
    images: &TensorType,
    labels: &[i32],
    metadata: &DatasetMetadata,
    value_range: [f64; 2],
    next_rows: impl FnMut(Range<usize>, &mut [u8]) -> hdf5_metno::Result<()>,
) -> Result<DatasetInfo, DataError> {
    publish(path, metadata, Verify::Yes, |file| {
        write_rows(file, IMAGES, images, next_rows)?;
        write_labels(file, labels)?;
        write_attributes(file, metadata, schema_version(false, 1), value_range)
    })
}

/// Bytes of images `[n, height, width, channels]` that another file holds from its beginning on.
pub(crate) struct ImagesInFile<'f> {
    pub ty: TensorType,
    pub pixels: &'f fs::File,
    /// CRC-32 of them.
    pub checksum: u32,
}

/// Writes a dataset of one or several arrays of u8 images with captions. The file appears as that of [`write_dataset`]
/// does, and only if it was read back whole.
///
/// # Errors
/// As [`write_dataset`]; the file with the pixels cannot be read.
pub(crate) fn write_captioned(
    path: &Path,
    images: &[ImagesInFile<'_>],
    captions: &Captions,
    metadata: &DatasetMetadata,
) -> Result<DatasetInfo, DataError> {
    let partial = create(path, metadata)?;
    let places = fill(&partial, |file| {
        if images.len() > 1 {
            file.create_group(IMAGES)?;
        }
        let name = |ty: &TensorType| if images.len() > 1 { array_name(&ty.shape) } else { IMAGES.to_owned() };
        let places = images.iter().map(|images| reserve(file, &name(&images.ty), images));
        let places = places.collect::<hdf5_metno::Result<Vec<u64>>>()?;
        captions.write(file)?;
        write_attributes(file, metadata, schema_version(true, images.len()), BYTE_RANGE)?;
        Ok(places)
    })?;
    for (images, place) in images.iter().zip(places) {
        copy(images, partial.path(), place).map_err(io_error("write", partial.path()))?;
    }
    finish(partial, path, Verify::Yes)
}

/// Makes room for an array of bytes and notes their checksum; says where in the file it is. The bytes lie one after the
/// other, so that the system can copy them there.
fn reserve(file: &File, name: &str, images: &ImagesInFile<'_>) -> hdf5_metno::Result<u64> {
    let builder = file.new_dataset::<u8>().no_chunk().alloc_time(Some(AllocTime::Early)).fill_time(FillTime::Never);
    let stored = builder.shape(&images.ty.shape[..]).create(name)?;
    write_checksum(&stored, images.checksum)?;
    stored.offset().ok_or_else(|| "no room was made for the images".into())
}

/// Copies images to their place in a file.
fn copy(images: &ImagesInFile<'_>, path: &Path, place: u64) -> io::Result<()> {
    let (mut from, mut to) = (images.pixels, fs::File::options().write(true).open(path)?);
    from.seek(SeekFrom::Start(0))?;
    to.seek(SeekFrom::Start(place))?;
    let bytes = images.ty.bytes() as u64;
    match io::copy(&mut from.take(bytes), &mut to)? {
        copied if copied == bytes => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Writes an array of images `[n, height, width, channels]` block by block.
fn write_rows(
    file: &File,
    name: &str,
    images: &TensorType,
    mut next_rows: impl FnMut(Range<usize>, &mut [u8]) -> hdf5_metno::Result<()>,
) -> hdf5_metno::Result<()> {
    let shape: [usize; 4] = std::array::from_fn(|dim| images.shape[dim]);
    let stored = match images.dtype {
        DType::U8 => create_images::<u8>(file, name, shape)?,
        _ => create_images::<f32>(file, name, shape)?,
    };
    let row_bytes = images.bytes() / shape[0];
    let (rows, mut hasher) = ((BLOCK_BYTES / row_bytes).clamp(1, shape[0]), crc32fast::Hasher::new());
    // Not a Vec of bytes: this memory is aligned for any element type.
    let mut block = HostArray::zeros(TensorType::new(DType::U8, [rows * row_bytes]));
    for start in (0..shape[0]).step_by(rows) {
        let end = shape[0].min(start + rows);
        let block = &mut block.bytes_mut()[..(end - start) * row_bytes];
        next_rows(start..end, block)?;
        hasher.update(block);
        let (dims, place) = ([end - start, shape[1], shape[2], shape[3]], (start..end, .., .., ..));
        match images.dtype {
            DType::U8 => stored.write_slice(ArrayView4::from_shape(dims, block)?, place)?,
            _ => {
                let pixels: &[f32] = bytemuck::cast_slice(block);
                stored.write_slice(ArrayView4::from_shape(dims, pixels)?, place)?;
            }
        }
    }
    write_checksum(&stored, hasher.finalize())
}

fn write_labels(file: &File, labels: &[i32]) -> hdf5_metno::Result<()> {
    let stored = file.new_dataset::<i32>().shape(labels.len()).create(LABELS)?;
    stored.write(labels)?;
    write_checksum(&stored, crc32fast::hash(bytemuck::cast_slice(labels)))
}

/// Makes a file of what `content` puts in, and gives it its name when it was read back and is on the disk.
fn publish(
    path: &Path,
    metadata: &DatasetMetadata,
    verify: Verify,
    content: impl FnOnce(&File) -> hdf5_metno::Result<()>,
) -> Result<DatasetInfo, DataError> {
    let partial = create(path, metadata)?;
    fill(&partial, content)?;
    finish(partial, path, verify)
}

/// A file on its way to `path`, for a dataset of texts that can be stored.
fn create(path: &Path, metadata: &DatasetMetadata) -> Result<PartialFile, DataError> {
    check_texts(metadata)?;
    let folder = folder_of(path);
    fs::create_dir_all(folder).map_err(io_error("create the folder", folder))?;
    PartialFile::create(path).map_err(io_error("create", path))
}

fn fill<T>(partial: &PartialFile, content: impl FnOnce(&File) -> hdf5_metno::Result<T>) -> Result<T, DataError> {
    let write = || {
        let file = file_options().create(partial.path())?;
        let made = content(&file)?;
        file.close()?;
        Ok(made)
    };
    Ok(write().map_err(failed("write", partial.path()))?)
}

/// Reads a file back and gives it its name.
fn finish(partial: PartialFile, path: &Path, verify: Verify) -> Result<DatasetInfo, DataError> {
    // The disk works while the pages are read that it writes. What it refuses is told by publishing.
    let info = thread::scope(|scope| {
        scope.spawn(|| fs::File::open(partial.path()).and_then(|file| file.sync_data()));
        Dataset::open(partial.path(), verify).map(|dataset| dataset.info())
    })?;
    partial.publish().map_err(io_error("finish", path))?;
    Ok(DatasetInfo { path: path.to_owned(), ..info })
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

fn write_images<T: Element + H5Type>(file: &File, shape: [usize; 4], pixels: &[T]) -> hdf5_metno::Result<()> {
    let stored = create_images::<T>(file, IMAGES, shape)?;
    stored.write(ArrayView4::from_shape(shape, pixels)?)?;
    write_checksum(&stored, crc32fast::hash(bytemuck::cast_slice(pixels)))
}

fn create_images<T: H5Type>(file: &File, name: &str, shape: [usize; 4]) -> hdf5_metno::Result<Hdf5Dataset> {
    let row_bytes = shape[1..].iter().product::<usize>() * size_of::<T>();
    let chunk = [(CHUNK_BYTES / row_bytes).clamp(1, shape[0]), shape[1], shape[2], shape[3]];
    file.new_dataset::<T>().chunk(chunk).shape(shape).create(name)
}

fn write_attributes(
    file: &File,
    metadata: &DatasetMetadata,
    version: u32,
    value_range: [f64; 2],
) -> hdf5_metno::Result<()> {
    write_text(file, "schema", SCHEMA_NAME)?;
    file.new_attr::<u32>().create("schema_version")?.write_scalar(&version)?;
    write_text(file, "name", &metadata.name)?;
    write_text(file, "source", &metadata.source)?;
    file.new_attr::<u32>().create("classes")?.write_scalar(&(metadata.classes as u32))?;
    write_text(file, "class_names", &class_names_json(metadata))?;
    file.new_attr::<f64>().shape(2).create("value_range")?.write(&value_range)
}
