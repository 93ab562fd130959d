//! TFRecord framing: length, its checksum, the bytes, their checksum (tensorflow/core/lib/io/record_writer.h).

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use crc32c::crc32c;

pub fn frame(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), bytes, &masked(bytes)].concat()
}

/// Checksums of data that holds checksums are weak, so they are stored rotated and shifted.
fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// The first `most` bytes of each record of a file, up to where a killed job stopped writing.
///
/// # Errors
/// The file cannot be opened.
pub fn heads(path: &Path, most: usize) -> io::Result<impl Iterator<Item = Vec<u8>>> {
    let mut file = BufReader::new(File::open(path)?);
    Ok(std::iter::from_fn(move || {
        let mut header = [0; 12];
        file.read_exact(&mut header).ok()?;
        let (length, checksum) = header.split_at(8);
        if masked(length) != checksum {
            return None;
        }
        let length = u64::from_le_bytes(length.try_into().ok()?);
        let mut head = vec![0; most.min(length as usize)];
        file.read_exact(&mut head).ok()?;
        file.seek_relative((length - head.len() as u64) as i64 + 4).ok()?;
        Some(head)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_agree_with_rfc_3720() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn records_are_read_back_up_to_one_that_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records");
        let whole = [frame(b"first"), frame(b""), frame(b"third")].concat();
        std::fs::write(&path, [&whole[..], &whole[..7]].concat()).unwrap();
        let found = heads(&path, 3).unwrap().collect::<Vec<_>>();
        assert_eq!(found, [&b"fir"[..], b"", b"thi"]);
    }
}
