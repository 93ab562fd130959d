//! The trailer behind the HDF5 data that guards the structure (see the crate's page).
//!
//! ```text
//! [HDF5 file: body_len bytes]
//! [offset u64, length u64] x extents      where the arrays' data lie, ascending
//! magic "TWFSEAL1", extents u64, body_len u64, crc of the structure u32, crc of the trailer so far u32
//! ```
//! Little-endian. The structure is every byte of the body outside the extents.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use crc32fast::Hasher;

use crate::CheckpointError;

const MAGIC: &[u8; 8] = b"TWFSEAL1";
const FOOTER: u64 = 32;
const EXTENT: u64 = 16;
const CHUNK: usize = 1 << 20;

/// A run of bytes in a file; offset and length in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// CRC-32 of a run of bytes, continuing `hasher`.
fn hash_extent(file: &File, extent: Extent, hasher: &mut Hasher) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK.min(extent.len as usize)];
    let end = extent.offset + extent.len;
    let mut at = extent.offset;
    while at < end {
        let chunk = &mut buffer[..CHUNK.min((end - at) as usize)];
        file.read_exact_at(chunk, at)?;
        hasher.update(chunk);
        at += chunk.len() as u64;
    }
    Ok(())
}

/// CRC-32 of a run of bytes.
pub(crate) fn checksum_of(file: &File, extent: Extent) -> io::Result<u32> {
    let mut hasher = Hasher::new();
    hash_extent(file, extent, &mut hasher)?;
    Ok(hasher.finalize())
}

/// CRC-32 of all bytes of the body outside `extents` (ascending, disjoint).
fn structure_checksum(file: &File, body_len: u64, extents: &[Extent]) -> io::Result<u32> {
    let mut hasher = Hasher::new();
    let mut at = 0;
    for extent in extents.iter().chain([&Extent { offset: body_len, len: 0 }]) {
        hash_extent(file, Extent { offset: at, len: extent.offset - at }, &mut hasher)?;
        at = extent.offset + extent.len;
    }
    Ok(hasher.finalize())
}

/// Appends the trailer to a closed HDF5 file whose arrays' data lie at `extents`.
pub(crate) fn append(file: &File, mut extents: Vec<Extent>) -> io::Result<()> {
    extents.retain(|extent| extent.len > 0);
    extents.sort_unstable();
    let body_len = file.metadata()?.len();
    let mut trailer = Vec::new();
    for extent in &extents {
        trailer.extend(extent.offset.to_le_bytes());
        trailer.extend(extent.len.to_le_bytes());
    }
    trailer.extend(MAGIC);
    trailer.extend((extents.len() as u64).to_le_bytes());
    trailer.extend(body_len.to_le_bytes());
    trailer.extend(structure_checksum(file, body_len, &extents)?.to_le_bytes());
    trailer.extend(crc32fast::hash(&trailer).to_le_bytes());
    file.write_all_at(&trailer, body_len)
}

/// Checks the trailer and the structure of a file.
///
/// # Errors
/// [`CheckpointError::NoTrailer`] if there is no trailer of the right length, [`CheckpointError::Structure`] if it or the
/// structure has changed.
pub(crate) fn check(file: &File, path: &Path) -> Result<(), CheckpointError> {
    let no_trailer = || CheckpointError::NoTrailer { path: path.into() };
    let io = |source| CheckpointError::Io { action: "read", path: path.into(), source };
    let len = file.metadata().map_err(io)?.len();
    let footer_at = len.checked_sub(FOOTER).ok_or_else(no_trailer)?;
    let mut footer = [0; FOOTER as usize];
    file.read_exact_at(&mut footer, footer_at).map_err(io)?;
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| footer[at + i]));
    let half_word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| footer[at + i]));
    let (count, body_len) = (word(8), word(16));
    let expected_len = count.checked_mul(EXTENT).and_then(|n| n.checked_add(body_len)?.checked_add(FOOTER));
    if &footer[..8] != MAGIC || expected_len != Some(len) {
        return Err(no_trailer());
    }
    let damaged = |part, stored, computed| CheckpointError::Structure { path: path.into(), part, stored, computed };
    let mut trailer = vec![0; (len - body_len) as usize];
    file.read_exact_at(&mut trailer, body_len).map_err(io)?;
    let (stored, computed) = (half_word(28), crc32fast::hash(&trailer[..trailer.len() - 4]));
    if stored != computed {
        return Err(damaged("trailer", stored, computed));
    }
    let (stored, computed) = (half_word(24), structure_checksum(file, body_len, &extents(&trailer)).map_err(io)?);
    if stored == computed { Ok(()) } else { Err(damaged("HDF5 structure", stored, computed)) }
}

fn extents(trailer: &[u8]) -> Vec<Extent> {
    let word = |bytes: &[u8]| u64::from_le_bytes(std::array::from_fn(|i| bytes[i]));
    let table = &trailer[..trailer.len() - FOOTER as usize];
    table.chunks_exact(EXTENT as usize).map(|pair| Extent { offset: word(&pair[..8]), len: word(&pair[8..]) }).collect()
}
