//! An array in an HDF5 file.

use std::ops::Range;

use hdf5_metno::{Dataset as Hdf5Dataset, File, H5Type, Hyperslab, dataset::Layout, types::TypeDescriptor};
use ndarray::IxDyn;
use twinflow_array::Element;

/// Elements per chunk of gzipped arrays: gzip needs some to find repetitions in.
const PACKED_CHUNK: usize = 1 << 16;

/// An HDF5 dataset with its element type and shape.
#[derive(Debug)]
pub(crate) struct Stored {
    pub dataset: Hdf5Dataset,
    pub element: TypeDescriptor,
    pub shape: Vec<usize>,
}

impl Stored {
    pub fn open(file: &File, name: &str) -> hdf5_metno::Result<Self> {
        let dataset = file.dataset(name)?;
        let (element, shape) = (dataset.dtype()?.to_descriptor()?, dataset.get_shape()?);
        Ok(Stored { dataset, element, shape })
    }

    /// Such as `uint8 [60000, 28, 28]`.
    pub fn describe(&self) -> String {
        format!("{} {:?}", self.element, self.shape)
    }

    /// The share of its chunks that were ever written: a program that was stopped leaves a file that reads as zeros.
    pub fn share_written(&self, file_bytes: u64) -> f64 {
        let chunks: f64 = match (self.dataset.layout(), self.dataset.chunk()) {
            (Layout::Contiguous, _) if self.dataset.storage_size() == 0 => return 0.0,
            (Layout::Chunked, Some(chunk)) => {
                self.shape.iter().zip(&chunk).map(|(dim, chunk)| dim.div_ceil(*chunk) as f64).product()
            }
            _ => return 1.0,
        };
        // A chunk takes a byte at least. libhdf5 counts by walking over all that there may be.
        let written = if chunks > file_bytes as f64 { Some(0) } else { self.dataset.num_chunks() };
        written.filter(|_| chunks > 0.0).map_or(1.0, |written| written as f64 / chunks)
    }

    /// Whether a file of this length can hold it. A damaged header of an old format, which has no checksums, can claim
    /// any size, and memory is taken by what it claims; chunks are counted by [`Stored::share_written`].
    pub fn fits(&self, file_bytes: u64) -> bool {
        let bytes = self.shape.iter().try_fold(self.element.size(), |bytes, dim| bytes.checked_mul(*dim));
        self.dataset.layout() != Layout::Contiguous || bytes.is_some_and(|bytes| bytes as u64 <= file_bytes)
    }

    /// Consecutive rows of `[n, ..]`, row-major.
    pub fn rows<T: H5Type>(&self, rows: Range<usize>) -> hdf5_metno::Result<Vec<T>> {
        let mut selection = vec![rows.into()];
        selection.resize(self.shape.len(), (..).into());
        Ok(self.dataset.read_slice::<T, _, IxDyn>(Hyperslab::from(selection))?.into_raw_vec_and_offset().0)
    }
}

/// Writes an array `[n]` of text or offsets, gzipped, with its checksum.
pub(crate) fn write_packed<T: Element + H5Type>(
    file: &File,
    name: &str,
    elements: &[T],
) -> hdf5_metno::Result<Hdf5Dataset> {
    let builder = file.new_dataset::<T>().chunk(elements.len().clamp(1, PACKED_CHUNK));
    // A library that was built without zlib stores them as they are.
    let builder = if hdf5_metno::filters::deflate_available() { builder.shuffle().deflate(6) } else { builder };
    let stored = builder.shape(elements.len()).create(name)?;
    stored.write_raw(elements)?;
    write_checksum(&stored, crc32fast::hash(bytemuck::cast_slice(elements)))?;
    Ok(stored)
}

/// Notes the CRC-32 of an array's little-endian bytes beside it.
pub(crate) fn write_checksum(stored: &Hdf5Dataset, checksum: u32) -> hdf5_metno::Result<()> {
    stored.new_attr::<u32>().create("checksum")?.write_scalar(&checksum)
}

/// The CRC-32 of pieces that lie one after the other, by their own and their lengths.
pub(crate) fn joined(pieces: impl IntoIterator<Item = (u32, usize)>) -> u32 {
    let mut all = crc32fast::Hasher::new();
    for (checksum, length) in pieces {
        all.combine(&crc32fast::Hasher::new_with_initial_len(checksum, length as u64));
    }
    all.finalize()
}
