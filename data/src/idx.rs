//! The IDX format of MNIST and its kin: two zero bytes, a type code, the number of dims, big-endian u32 dims, row-major
//! elements (<http://yann.lecun.com/exdb/mnist/>).

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek},
    path::Path,
};

use flate2::bufread::MultiGzDecoder;

use crate::{DataError, error::io_error, labels::LabelLayout};

/// The first bytes of a gzip member.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// The type code of unsigned bytes.
const U8: u8 = 0x08;
/// Type codes of integers with their sizes: u8, i8, i16, i32.
const INTEGERS: [(u8, usize); 4] = [(U8, 1), (0x09, 1), (0x0b, 2), (0x0c, 4)];

/// An array of big-endian elements.
#[derive(Debug)]
pub(crate) struct IdxArray {
    pub dims: Vec<usize>,
    pub bytes: Vec<u8>,
    code: u8,
}

/// Reads images: `[n, rows, columns]` or `[n, rows, columns, channels]` of unsigned bytes.
pub(crate) fn read_images(path: &Path) -> Result<IdxArray, DataError> {
    read(path, &INTEGERS[..1], &[3, 4], "images (00 00 08 03, or 00 00 08 04 with channels)")
}

/// Reads labels: `[n]` or `[n, classes]` of any integer type.
pub(crate) fn read_labels(path: &Path) -> Result<Vec<i64>, DataError> {
    let array = read(path, &INTEGERS, &[1, 2], "labels (00 00 08 01, or 09, 0b or 0c for wider integers)")?;
    let layout = LabelLayout::of(&array.dims).expect("one or two dims");
    layout.labels(&array.integers(), 0)
}

impl IdxArray {
    fn integers(&self) -> Vec<f64> {
        let be = |bytes: &[u8]| match *bytes {
            [a, b, c, d] => i32::from_be_bytes([a, b, c, d]).into(),
            [a, b] => i16::from_be_bytes([a, b]).into(),
            [a] if self.code == U8 => a.into(),
            _ => f64::from(bytes[0] as i8),
        };
        self.bytes.chunks_exact(self.bytes.len() / self.dims.iter().product::<usize>()).map(be).collect()
    }
}

fn read(path: &Path, types: &[(u8, usize)], ranks: &[u8], expected: &'static str) -> Result<IdxArray, DataError> {
    let mut input = open(path)?;
    let magic: [u8; 4] = header(&mut input, path, 0)?;
    let size = types.iter().find(|(code, _)| magic[..3] == [0, 0, *code]).filter(|_| ranks.contains(&magic[3]));
    let &(code, size) = size.ok_or(DataError::IdxMagic { path: path.to_owned(), expected, found: magic })?;
    let rank = magic[3];
    let mut dims = Vec::new();
    for dim in 0..u64::from(rank) {
        dims.push(u32::from_be_bytes(header(&mut input, path, 4 + 4 * dim)?));
    }
    let size_of_data = bytes_of(&dims, size).ok_or_else(|| DataError::IdxDims {
        path: path.to_owned(),
        dims: dims.iter().map(|dim| u64::from(*dim)).collect(),
    })?;
    let bytes = read_up_to(&mut input, path, size_of_data + 1)?;
    if bytes.len() as u64 != size_of_data {
        let header_bytes = 4 + 4 * u64::from(rank);
        let (expected, found) = (header_bytes + size_of_data, header_bytes + bytes.len() as u64);
        return Err(DataError::IdxLength { path: path.to_owned(), expected, found });
    }
    Ok(IdxArray { dims: dims.into_iter().map(|dim| dim as usize).collect(), bytes, code })
}

/// Opens a file, through gzip if it starts so, whatever its name says.
fn open(path: &Path) -> Result<Box<dyn Read>, DataError> {
    let mut file = File::open(path).map_err(io_error("open", path))?;
    let start = read_up_to(&mut file, path, 2)?;
    file.rewind().map_err(io_error("read", path))?;
    let buffered = BufReader::with_capacity(1 << 16, file);
    Ok(if start == GZIP_MAGIC { Box::new(MultiGzDecoder::new(buffered)) } else { Box::new(buffered) })
}

fn header(input: &mut dyn Read, path: &Path, offset: u64) -> Result<[u8; 4], DataError> {
    let bytes = read_up_to(input, path, 4)?;
    <[u8; 4]>::try_from(bytes.as_slice()).map_err(|_| DataError::IdxLength {
        path: path.to_owned(),
        expected: offset + 4,
        found: offset + bytes.len() as u64,
    })
}

/// Reads until `limit` bytes or the end, be it the end of the file or of a truncated gzip stream. Memory grows with
/// what is really there, not with what a header claims.
fn read_up_to(input: &mut dyn Read, path: &Path, limit: u64) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    match input.take(limit).read_to_end(&mut bytes) {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(io_error("read", path)(error)),
        _ => Ok(bytes),
    }
}

fn bytes_of(dims: &[u32], size: usize) -> Option<u64> {
    let product = dims.iter().try_fold(size as u64, |product, dim| product.checked_mul(u64::from(*dim)))?;
    (product > 0 && product < isize::MAX as u64).then_some(product)
}
