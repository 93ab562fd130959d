//! The file of one program: a header that tells whether the rest is whole, then the serialized executable.
//!
//! | bytes | |
//! |---|---|
//! | 8 | magic number with the layout's version |
//! | 32 | key |
//! | 8 | length of the executable, little-endian |
//! | 32 | BLAKE3 of the executable |

use super::key::Key;

const MAGIC: [u8; 8] = *b"TFXLAPG1";

/// Bytes before the executable.
const HEADER: usize = 8 + 32 + 8 + 32;

/// Why a file is not the program asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It is shorter than a header or begins otherwise.
    #[error("it is no stored program")]
    NotAnEntry,
    /// It belongs to another key, as after a file was renamed by hand.
    #[error("it holds another program")]
    OtherKey,
    /// It ends early, or goes on for too long.
    #[error("it has {found} bytes of program, {expected} were written")]
    Length {
        /// Bytes there.
        found: usize,
        /// Bytes that the header announces.
        expected: u64,
    },
    /// Its bytes changed.
    #[error("its checksum does not agree")]
    Checksum,
}

/// The header to write before the executable.
pub fn header(key: &Key, executable: &[u8]) -> Vec<u8> {
    let length = (executable.len() as u64).to_le_bytes();
    [&MAGIC[..], key.bytes(), &length, blake3::hash(executable).as_bytes()].concat()
}

pub fn executable<'a>(key: &Key, file: &'a [u8]) -> Result<&'a [u8], Damage> {
    let (header, executable) = file.split_at_checked(HEADER).ok_or(Damage::NotAnEntry)?;
    let (magic, header) = header.split_at(8);
    let (of_key, header) = header.split_at(32);
    let (length, checksum) = header.split_at(8);
    if magic != MAGIC {
        return Err(Damage::NotAnEntry);
    }
    if of_key != key.bytes() {
        return Err(Damage::OtherKey);
    }
    let expected = length.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    if executable.len() as u64 != expected {
        return Err(Damage::Length { found: executable.len(), expected });
    }
    if blake3::hash(executable).as_bytes() != checksum {
        return Err(Damage::Checksum);
    }
    Ok(executable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_file_gives_the_executable_and_any_change_is_seen() {
        let key = Key::of_text("key");
        let program: Vec<u8> = (0..=255).collect();
        let file = [header(&key, &program), program.clone()].concat();
        assert_eq!(executable(&key, &file).unwrap(), program);
        for place in 0..file.len() {
            let mut changed = file.clone();
            changed[place] ^= 4;
            assert!(executable(&key, &changed).is_err(), "byte {place}");
        }
        for length in 0..file.len() {
            assert!(executable(&key, &file[..length]).is_err(), "{length} bytes");
        }
        assert_eq!(executable(&Key::of_text("other"), &file), Err(Damage::OtherKey));
        let longer = [file, vec![0]].concat();
        assert_eq!(executable(&key, &longer), Err(Damage::Length { found: 257, expected: 256 }));
    }
}
