//! The IDX format of MNIST and its kin: two zero bytes, a type code, the number of dims, big-endian u32 dims, row-major
//! elements (<http://yann.lecun.com/exdb/mnist/>).

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek},
    path::Path,
};

use flate2::bufread::MultiGzDecoder;

use crate::{DataError, error::io_error};

/// The first bytes of a gzip member.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// The type code of unsigned bytes.
const UNSIGNED_BYTE: u8 = 0x08;

/// An array of unsigned bytes.
#[derive(Debug)]
pub(crate) struct IdxArray {
    pub dims: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// Reads images: `[n, rows, columns]` or `[n, rows, columns, channels]`.
pub(crate) fn read_images(path: &Path) -> Result<IdxArray, DataError> {
    read(path, &[3, 4], "images (00 00 08 03, or 00 00 08 04 with channels)")
}

/// Reads labels: `[n]`.
pub(crate) fn read_labels(path: &Path) -> Result<IdxArray, DataError> {
    read(path, &[1], "labels (00 00 08 01)")
}

fn read(path: &Path, ranks: &[u8], expected: &'static str) -> Result<IdxArray, DataError> {
    let mut input = open(path)?;
    let magic: [u8; 4] = header(&mut input, path, 0)?;
    let rank = match magic {
        [0, 0, UNSIGNED_BYTE, rank] if ranks.contains(&rank) => rank,
        found => return Err(DataError::IdxMagic { path: path.to_owned(), expected, found }),
    };
    let mut dims = Vec::new();
    for dim in 0..u64::from(rank) {
        dims.push(u32::from_be_bytes(header(&mut input, path, 4 + 4 * dim)?));
    }
    let elements = elements(&dims).ok_or_else(|| DataError::IdxDims {
        path: path.to_owned(),
        dims: dims.iter().map(|dim| u64::from(*dim)).collect(),
    })?;
    let bytes = read_up_to(&mut input, path, elements + 1)?;
    if bytes.len() as u64 != elements {
        let header_bytes = 4 + 4 * u64::from(rank);
        let (expected, found) = (header_bytes + elements, header_bytes + bytes.len() as u64);
        return Err(DataError::IdxLength { path: path.to_owned(), expected, found });
    }
    Ok(IdxArray { dims: dims.into_iter().map(|dim| dim as usize).collect(), bytes })
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

fn elements(dims: &[u32]) -> Option<u64> {
    let product = dims.iter().try_fold(1u64, |product, dim| product.checked_mul(u64::from(*dim)))?;
    (product > 0 && product < isize::MAX as u64).then_some(product)
}
