//! Importing HDF5 files that other programs wrote.

mod common;

use std::path::{Path, PathBuf};

use common::{folder, imported, target};
use hdf5_metno::{File, H5Type};
use tempfile::TempDir;
use twinflow_data::{DataError, DatasetInfo, DatasetMetadata, Hdf5Arrays, IMAGES, ImageLayout, Source, import_hdf5};

fn arrays(images: &str, labels: &str) -> Hdf5Arrays {
    Hdf5Arrays { images: images.to_owned(), labels: labels.to_owned(), layout: None, range: None, classes: None }
}

/// A file with the arrays `train/x` of the given shape and values and `train/y` of labels.
fn write<T: H5Type>(folder: &TempDir, shape: &[usize], values: &[T], labels: &[u8]) -> PathBuf {
    let path = folder.path().join("source.h5");
    let group = File::create(&path).unwrap().create_group("train").unwrap();
    group.new_dataset::<T>().shape(shape).create("x").unwrap().write_raw(values).unwrap();
    group.new_dataset::<u8>().shape(labels.len()).create("y").unwrap().write_raw(labels).unwrap();
    path
}

fn import(folder: &TempDir, path: &Path, arrays: &Hdf5Arrays) -> Result<DatasetInfo, DataError> {
    import_hdf5(path, arrays, target(folder), &DatasetMetadata::new("set", "made up", 0))
}

fn refused(folder: &TempDir, path: &Path, arrays: &Hdf5Arrays) -> String {
    let message = import(folder, path, arrays).unwrap_err().to_string();
    assert!(!target(folder).exists() && !message.contains('\n'), "{message}");
    message
}

#[test]
fn channels_that_come_first_go_last_and_bytes_stay_bytes() {
    let folder = folder();
    let values: Vec<u8> = (0..2 * 3 * 5 * 6).map(|i| i as u8).collect();
    let path = write(&folder, &[2, 3, 5, 6], &values, &[4, 0]);
    let info = import(&folder, &path, &arrays("train/x", "/train/y")).unwrap();
    assert_eq!((info.samples, info.height, info.width, info.channels, info.classes), (2, 5, 6, 3, 5));
    assert_eq!((info.image_dtype.as_str(), info.value_range), ("u8", [0.0, 255.0]));
    let dataset = imported(&folder);
    assert_eq!(dataset.labels(), [4, 0]);
    let second = dataset.gather(&[1]).unwrap();
    assert_eq!(second[IMAGES].bytes()[..6], [90, 120, 150, 91, 121, 151]);
}

#[test]
fn other_numbers_become_floats_of_their_range() {
    let folder = folder();
    let path = write(&folder, &[2, 2, 2], &[0u16, 1000, 65535, 0, 0, 0, 0, 32768], &[1, 0]);
    let options = Hdf5Arrays { range: Some([0.0, 65535.0]), classes: Some(7), ..arrays("train/x", "train/y") };
    let info = import(&folder, &path, &options).unwrap();
    assert_eq!((info.image_dtype.as_str(), info.value_range, info.classes), ("f32", [0.0, 65535.0], 7));
    let image = imported(&folder).gather(&[0]).unwrap();
    let [black, _, white, _] = *image[IMAGES].as_slice::<f32>().unwrap() else { panic!("four pixels") };
    assert_eq!([black, white], [-1.0, 1.0]);
    // Without one, the usual range that holds them.
    let path = write(&folder, &[1, 2, 3], &[0.5f64, 0.0, 1.0, 0.25, 0.75, 1.0], &[0]);
    assert_eq!(import(&folder, &path, &arrays("train/x", "train/y")).unwrap().value_range, [0.0, 1.0]);
}

#[test]
fn keys_that_there_are_not_are_told_with_those_that_there_are() {
    let folder = folder();
    let path = write(&folder, &[2, 4, 4], &[0u8; 32], &[0, 0]);
    for key in ["images", "train", "train/z/y", ""] {
        let message = refused(&folder, &path, &arrays(key, "train/y"));
        assert!(message.ends_with(&format!("there is no array '{key}' (it has: train/x, train/y)")), "{message}");
    }
    let message = refused(&folder, &path, &arrays("train/x", "labels"));
    assert!(message.contains("there is no array 'labels'"), "{message}");
    std::fs::write(&path, "no HDF5").unwrap();
    assert!(refused(&folder, &path, &arrays("train/x", "train/y")).starts_with("cannot open '"));
    assert!(refused(&folder, &folder.path().join("gone.h5"), &arrays("x", "y")).contains("gone.h5"));
}

#[test]
fn arrays_that_make_no_dataset_are_told() {
    let folder = folder();
    let both = arrays("train/x", "train/y");
    let ambiguous = write(&folder, &[1, 3, 4, 3], &[0u8; 36], &[0]);
    let message = refused(&folder, &ambiguous, &both);
    assert!(message.ends_with("'train/x' is uint8 [1, 3, 4, 3]: say where its channels are by --layout"), "{message}");
    let first = Hdf5Arrays { layout: Some(ImageLayout::Nchw), ..both.clone() };
    assert_eq!(import(&folder, &ambiguous, &first).unwrap().channels, 3);
    std::fs::remove_file(target(&folder)).unwrap();
    let message = refused(&folder, &write(&folder, &[2, 8], &[0u8; 16], &[0, 0]), &both);
    assert!(message.contains("'train/x' is uint8 [2, 8]: images are [n, height, width]"), "{message}");
    let message = refused(&folder, &write(&folder, &[2, 2, 2], &[0u8; 8], &[0, 0, 0]), &both);
    assert_eq!(message, "2 images but 3 labels: they must be of the same split");
    let few = Hdf5Arrays { classes: Some(2), ..both.clone() };
    let message = refused(&folder, &write(&folder, &[2, 2, 2], &[0u8; 8], &[0, 2]), &few);
    assert!(message.starts_with("label 2 at index 1 is out of range"), "{message}");
    let mut values = [0.5f32; 8];
    let narrow = Hdf5Arrays { range: Some([0.0, 0.1]), ..both.clone() };
    let message = refused(&folder, &write(&folder, &[2, 2, 2], &values, &[0, 0]), &narrow);
    assert!(message.contains("far outside value_range [0, 0.1]"), "{message}");
    values[5] = f32::NAN;
    let message = refused(&folder, &write(&folder, &[2, 2, 2], &values, &[0, 0]), &both);
    assert!(message.starts_with("image 1 holds a value that is not finite (NaN)"), "{message}");
}
