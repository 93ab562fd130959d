//! Small datasets in temporary folders.

// Each test binary uses a part of this.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use twinflow_array::HostArray;
use twinflow_data::{Dataset, DatasetMetadata, Verify, write_dataset};

pub fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// The bytes of six images of 2 x 3 x 1: 36 values from 0 to 255, none twice.
pub fn pixels() -> Vec<u8> {
    (0..36u32).map(|i| (i * 255 / 35) as u8).collect()
}

pub fn small_images() -> HostArray {
    HostArray::from_slice([6, 2, 3, 1], &pixels()).unwrap()
}

/// Six images of three classes.
pub fn write_small(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("small.h5");
    let metadata = DatasetMetadata::new("small", "made up", 3).with_class_names(["zero", "one", "two"]);
    write_dataset(&path, &small_images(), &[0, 1, 2, 0, 1, 2], &metadata).unwrap();
    path
}

/// What opening the file is refused with.
pub fn message(path: impl AsRef<Path>, verify: Verify) -> String {
    Dataset::open(path, verify).unwrap_err().to_string()
}
