//! No file is locked: another lock, or a file system without any, does not matter.

use std::fs::File;

use twinflow_hdf5::without_locks;

#[test]
fn a_locked_file_is_read_changed_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("locked.h5");
    without_locks().create(&path).unwrap().close().unwrap();
    let other = File::open(&path).unwrap();
    other.lock().unwrap();
    assert!(hdf5_metno::File::open(&path).is_err(), "libhdf5 locks on its own: this test would see it");
    without_locks().open(&path).unwrap().close().unwrap();
    without_locks().open_rw(&path).unwrap().close().unwrap();
    without_locks().create(&path).unwrap().close().unwrap();
}
