//! Small datasets in temporary folders.

// Each test binary uses a part of this.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use twinflow_array::HostArray;
use twinflow_data::{
    DataError, Dataset, DatasetMetadata, Filter, ImportedPictures, PictureOptions, Shapes, Verify, import_pictures,
    write_dataset,
};

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

/// A PNG of 37 x 23.
pub const RGB: &[u8] = include_bytes!("../pictures/rgb.png");
/// A JPEG of 37 x 23.
pub const JPEG: &[u8] = include_bytes!("../pictures/420.jpg");
/// CRC-32 of `rgb.png` at 13 by 13, bilinear: from torch, as in src/pictures/square.rs.
pub const RGB_AT_13: u32 = 0x5e12_8c27;

/// Squares of 13 pixels.
pub fn picture_options() -> PictureOptions {
    PictureOptions {
        shapes: Shapes::square(13).unwrap(),
        filter: Filter::Bilinear,
        background: [255; 3],
        skip_damaged: false,
        caption_key: None,
    }
}

/// Imports pictures into the file `d.h5` of a folder.
pub fn import_into(
    folder: &TempDir,
    from: &[PathBuf],
    options: &PictureOptions,
) -> Result<ImportedPictures, DataError> {
    let metadata = DatasetMetadata::new("set", "made up", 0);
    import_pictures(from, &target(folder), options, &metadata, &mut |_| ())
}

pub fn target(folder: &TempDir) -> PathBuf {
    folder.path().join("d.h5")
}

/// What [`import_into`] made.
pub fn imported(folder: &TempDir) -> Dataset {
    Dataset::open(target(folder), Verify::Yes).unwrap()
}
