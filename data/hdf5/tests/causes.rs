//! Each way in which a file may be unreadable is told apart.

use std::{fs, path::Path};

use hdf5_metno::Result;
use tempfile::TempDir;
use twinflow_hdf5::{Cause, failed, without_locks};

/// Opens a file and reads its dataset `images`; the cause of the refusal.
fn cause(path: &Path) -> Cause {
    let read = || -> Result<Vec<u8>> { without_locks().open(path)?.dataset("images")?.read_raw::<u8>() };
    read().map_err(failed("read", path)).unwrap_err().cause
}

/// A file made by h5py 3.16 (HDF5 2.0): what this library cannot write.
///
/// ```python
/// x = np.zeros((4, 4, 4, 1), 'u1')
/// h5py.File('lzf.h5', 'w').create_dataset('images', data=x, chunks=x.shape, compression='lzf')
/// h5py.File('newer.h5', 'w', libver='latest').create_dataset('images', data=x, chunks=x.shape, compression='gzip')
/// ```
fn from_h5py(name: &str) -> Cause {
    cause(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name))
}

/// Forty-eight bytes behind Fletcher-32, and the file's content.
fn with_checksum(folder: &TempDir) -> (std::path::PathBuf, Vec<u8>) {
    let path = folder.path().join("images.h5");
    let file = without_locks().create(&path).unwrap();
    let stored = file.new_dataset::<u8>().chunk(48).fletcher32().shape(48).create("images").unwrap();
    stored.write_raw(&[0xc8u8; 48]).unwrap();
    drop((stored, file));
    let bytes = fs::read(&path).unwrap();
    (path, bytes)
}

#[test]
fn a_missing_filter_is_named_with_where_it_is_looked_for() {
    let found = from_h5py("lzf.h5");
    assert_eq!(found, Cause::MissingFilter { filter: "lzf".into() });
    assert!(found.to_string().contains("HDF5_PLUGIN_PATH") && !found.is_damage(), "{found}");
}

#[test]
fn a_newer_format_is_told_with_how_to_rewrite() {
    if twinflow_hdf5::version() >= (2, 0, 0) {
        return;
    }
    let found = from_h5py("newer.h5");
    assert_eq!(found, Cause::NewerFormat);
    assert!(found.to_string().contains("libver='v114'") && !found.is_damage(), "{found}");
}

#[test]
fn only_a_checksum_tells_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut bytes) = with_checksum(&folder);
    let at = bytes.windows(48).position(|window| window == [0xc8; 48]).unwrap();
    bytes[at] ^= 0x10;
    fs::write(&path, &bytes).unwrap();
    let found = cause(&path);
    assert!(found.to_string().contains("damaged") && found.to_string().contains("Fletcher32"), "{found}");
}

#[test]
fn files_without_their_end_their_beginning_or_their_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes) = with_checksum(&folder);
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(cause(&path), Cause::Truncated);
    fs::write(&path, "not HDF5").unwrap();
    assert_eq!(cause(&path), Cause::NotHdf5);
    without_locks().create(&path).unwrap().close().unwrap();
    let found = cause(&path);
    assert!(matches!(&found, Cause::Other(text) if text.contains("object 'images' doesn't exist")), "{found:?}");
    assert!(!found.is_damage());
}
