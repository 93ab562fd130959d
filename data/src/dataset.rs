//! Reading a dataset file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use hdf5_metno::Dataset as Hdf5Dataset;
use twinflow_array::{DType, HostArray, TensorType};

use crate::{
    Checksums, DataError, DatasetInfo, Source, checksum,
    error::{content_error, hdf5_error, io_error},
    file_header::{FileHeader, check_label_range},
    schema::{IMAGES, LABELS, file_options},
};

/// Images up to this many bytes are held in memory unless told otherwise: 2 GiB.
pub const DEFAULT_MEMORY_BUDGET: u64 = 2 << 30;

/// Whether opening a dataset reads all images once to compare their checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Read and compare: about a second per gigabyte in the page cache.
    Yes,
    /// Trust the images; labels are compared all the same.
    No,
}

/// An open dataset file: labels in memory, images on disk or, after [`Dataset::held_in_memory`], in memory too.
///
/// The file is opened read-only and without locks, so any number of jobs may share it.
#[derive(Debug)]
pub struct Dataset {
    path: PathBuf,
    header: FileHeader,
    /// Type and shape `[n, height, width, channels]` of the stored images.
    image_type: TensorType,
    checksums: Checksums,
    labels: Vec<i32>,
    images: Images,
}

#[derive(Debug)]
enum Images {
    OnDisk(Hdf5Dataset),
    InMemory(HostArray),
}

impl Dataset {
    /// Opens a dataset, checks its schema, shapes, types, labels and the labels' checksum, and the images' if asked.
    ///
    /// # Errors
    /// [`DataError::Missing`], [`DataError::Hdf5`] (truncated, or no HDF5 file), [`DataError::Schema`],
    /// [`DataError::SchemaVersion`], [`DataError::Layout`], [`DataError::Checksum`], [`DataError::Content`] around
    /// [`DataError::CountMismatch`], [`DataError::LabelRange`] or [`DataError::ClassNames`].
    pub fn open(path: impl AsRef<Path>, verify: Verify) -> Result<Self, DataError> {
        let path = path.as_ref();
        let file_bytes = file_length(path)?;
        let file = file_options().open(path).map_err(hdf5_error("open the dataset", path))?;
        let header = FileHeader::read(path, &file, file_bytes)?;
        let (images, image_type) = header.open_images(path, &file)?;
        let labels = header.open_labels(path, &file)?;
        let checksums =
            Checksums { images: checksum::stored(path, &images)?, labels: checksum::stored(path, &labels)? };
        let labels: Vec<i32> = labels.read_raw().map_err(hdf5_error("read labels of", path))?;
        checksum::compare(path, LABELS, checksums.labels, checksum::of_slice(&labels))?;
        if labels.len() != image_type.shape[0] {
            let mismatch = DataError::CountMismatch { images: image_type.shape[0], labels: labels.len() };
            return Err(content_error(path)(mismatch));
        }
        check_label_range(&labels, header.metadata.classes).map_err(content_error(path))?;
        let images = Images::OnDisk(images);
        let dataset = Dataset { path: path.to_owned(), header, image_type, checksums, labels, images };
        if verify == Verify::Yes {
            dataset.verify()?;
        }
        Ok(dataset)
    }

    /// Reads all images and compares their checksum with the one written (the labels' was compared on opening).
    ///
    /// # Errors
    /// [`DataError::Checksum`], or [`DataError::Hdf5`] if they cannot be read.
    pub fn verify(&self) -> Result<(), DataError> {
        let found = match &self.images {
            Images::InMemory(images) => checksum::of_slice(images.bytes()),
            Images::OnDisk(images) => {
                checksum::of_images(images, &self.image_type).map_err(hdf5_error("read images of", &self.path))?
            }
        };
        checksum::compare(&self.path, IMAGES, self.checksums.images, found)
    }

    /// The same dataset with its images in memory, if they take at most `budget` bytes ([`DEFAULT_MEMORY_BUDGET`]);
    /// otherwise unchanged: each batch then reads its rows from the file.
    ///
    /// # Errors
    /// [`DataError::Hdf5`] if the images cannot be read.
    pub fn held_in_memory(mut self, budget: u64) -> Result<Self, DataError> {
        let bytes = self.image_type.bytes() as u64;
        if let Images::OnDisk(stored) = &self.images {
            if bytes > budget {
                tracing::info!(path = %self.path.display(), bytes, budget, "images stay on disk");
                return Ok(self);
            }
            let images = read_all(stored, &self.image_type).map_err(hdf5_error("read images of", &self.path))?;
            self.images = Images::InMemory(images);
        }
        Ok(self)
    }

    /// Whether the images are held in memory.
    pub fn is_in_memory(&self) -> bool {
        matches!(self.images, Images::InMemory(_))
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no samples; an open dataset has at least one.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The labels of all samples.
    pub fn labels(&self) -> &[i32] {
        &self.labels
    }

    /// Everything known about the file.
    pub fn info(&self) -> DatasetInfo {
        let FileHeader { metadata, schema_version, value_range, file_bytes } = &self.header;
        let [height, width, channels] = self.sample_shape();
        let mut class_counts = vec![0; metadata.classes];
        self.labels.iter().for_each(|label| class_counts[*label as usize] += 1);
        DatasetInfo {
            path: self.path.clone(),
            name: metadata.name.clone(),
            source: metadata.source.clone(),
            schema_version: *schema_version,
            samples: self.len(),
            height,
            width,
            channels,
            image_dtype: self.image_type.dtype.name().to_owned(),
            value_range: *value_range,
            classes: metadata.classes,
            class_names: metadata.class_names.clone(),
            class_counts,
            file_bytes: *file_bytes,
            checksums: self.checksums,
        }
    }

    fn read_image(&self, index: usize, out: &mut [f32]) -> Result<(), DataError> {
        let failed = |error| hdf5_error("read images of", &self.path)(error);
        let row = index * out.len()..(index + 1) * out.len();
        match (&self.images, self.image_type.dtype) {
            (Images::InMemory(images), DType::U8) => scale_bytes(&images.bytes()[row], out),
            (Images::InMemory(images), _) => out.copy_from_slice(&bytemuck::cast_slice(images.bytes())[row]),
            (Images::OnDisk(images), DType::U8) => {
                scale_bytes(&checksum::read_rows(images, index..index + 1).map_err(failed)?, out);
            }
            (Images::OnDisk(images), _) => {
                out.copy_from_slice(&checksum::read_rows(images, index..index + 1).map_err(failed)?);
            }
        }
        Ok(())
    }
}

impl Source for Dataset {
    fn sample_shape(&self) -> [usize; 3] {
        let shape = &self.image_type.shape;
        [shape[1], shape[2], shape[3]]
    }

    fn classes(&self) -> usize {
        self.header.metadata.classes
    }

    fn samples(&self) -> Option<u64> {
        Some(self.len() as u64)
    }

    fn read(&self, indices: &[u64], images: &mut [f32], labels: &mut [i32]) -> Result<(), DataError> {
        let pixels = self.sample_shape().iter().product();
        for ((&index, image), label) in indices.iter().zip(images.chunks_exact_mut(pixels)).zip(labels) {
            let samples = self.len();
            let row = usize::try_from(index).ok().filter(|row| *row < samples);
            let row = row.ok_or(DataError::SampleIndex { index, samples })?;
            *label = self.labels[row];
            self.read_image(row, image)?;
        }
        Ok(())
    }
}

/// Bytes to floats: 0 becomes -1, 255 becomes 1.
fn scale_bytes(bytes: &[u8], out: &mut [f32]) {
    out.iter_mut().zip(bytes).for_each(|(out, byte)| *out = f32::from(*byte) / 127.5 - 1.0);
}

/// All stored images in memory, without a second copy on the way.
fn read_all(stored: &Hdf5Dataset, image_type: &TensorType) -> hdf5_metno::Result<HostArray> {
    let mut images = HostArray::zeros(image_type.clone());
    match image_type.dtype {
        DType::U8 => stored.read_into_raw::<u8>(images.bytes_mut())?,
        _ => stored.read_into_raw::<f32>(bytemuck::cast_slice_mut(images.bytes_mut()))?,
    };
    Ok(images)
}

fn file_length(path: &Path) -> Result<u64, DataError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(DataError::Missing { path: path.to_owned() }),
        Err(error) => Err(io_error("open", path)(error)),
    }
}
