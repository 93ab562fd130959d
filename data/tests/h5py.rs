//! Files as people write them with h5py: nothing but arrays, of the types and shapes that they have.

mod common;

use std::{path::Path, process::Command};

use common::{folder, message};
use hdf5_metno::{Dataset as Hdf5Dataset, File, H5Type};
use tempfile::TempDir;
use twinflow_array::DType;
use twinflow_data::{Dataset, IMAGES, Source, Verify};

fn array<T: H5Type>(file: &File, name: &str, shape: &[usize], elements: &[T]) -> Hdf5Dataset {
    let stored = file.new_dataset::<T>().shape(shape).create(name).unwrap();
    stored.write_raw(elements).unwrap();
    stored
}

/// The file `d.h5` with what `fill` puts in.
fn file(folder: &TempDir, fill: impl FnOnce(&File)) -> std::path::PathBuf {
    let path = folder.path().join("d.h5");
    fill(&File::create(&path).unwrap());
    path
}

/// Eight black images of 8 x 8.
fn black(file: &File) {
    array(file, "images", &[8, 8, 8, 1], &[0u8; 512]);
}

fn labels(path: &Path) -> Vec<i32> {
    Dataset::open(path, Verify::Yes).unwrap().labels().to_vec()
}

#[test]
fn two_arrays_are_enough() {
    let folder = folder();
    let path = file(&folder, |file| {
        black(file);
        array(file, "labels", &[8], &[0i32, 1, 2, 3, 0, 1, 2, 3]);
    });
    let dataset = Dataset::open(&path, Verify::Yes).unwrap();
    assert_eq!((dataset.sample_shape(), dataset.classes(), dataset.len()), ([8, 8, 1], 4, 8));
    let info = dataset.info();
    assert_eq!((info.name.as_str(), info.value_range, info.has_checksums), ("d", [0.0, 255.0], false));
    assert!(info.to_string().contains("labels a518cd89 (the file has none)"), "{info}");
}

#[test]
fn the_pages_code_writes_a_dataset_where_h5py_is_installed() {
    let page = include_str!("../../docs/data-format.md");
    let code = page.split("```").nth(1).and_then(|block| block.strip_prefix("python\n")).unwrap();
    let folder = folder();
    let python = std::env::var("PY").unwrap_or_else(|_| "python3".to_owned());
    let run = |code: &str| Command::new(&python).args(["-c", code]).current_dir(folder.path()).output();
    if !run("import h5py").is_ok_and(|output| output.status.success()) {
        return;
    }
    let output = run(code).unwrap();
    assert!(output.status.success(), "{output:?}");
    let info = Dataset::open(folder.path().join("mine.h5"), Verify::Yes).unwrap().info();
    assert_eq!((info.samples, info.height, info.width, info.channels), (100, 28, 28, 1));
    assert_eq!((info.classes, info.class_names[9].as_str(), info.value_range), (10, "9", [0.0, 255.0]));
    assert_eq!(info.class_counts, [10; 10]);
}

#[test]
fn labels_of_any_type_and_shape_that_converts_without_loss() {
    let folder = folder();
    fn with<T: H5Type>(folder: &TempDir, shape: &[usize], elements: &[T]) -> Vec<i32> {
        labels(&file(folder, |file| {
            black(file);
            array(file, "labels", shape, elements);
        }))
    }
    let expected = [0, 1, 2, 3, 0, 1, 2, 3];
    assert_eq!(with(&folder, &[8], &expected.map(i64::from)), expected);
    assert_eq!(with(&folder, &[8, 1], &expected.map(i64::from)), expected);
    assert_eq!(with(&folder, &[8, 1, 1, 1], &expected.map(|label| label as u8)), expected);
    assert_eq!(with(&folder, &[8], &expected.map(|label| label as u64)), expected);
    assert_eq!(with(&folder, &[8], &expected.map(|label| label as f32)), expected);
    let one_hot: Vec<f32> = expected.iter().flat_map(|label| (0..4).map(|c| f32::from(c == *label))).collect();
    assert_eq!(with(&folder, &[8, 4], &one_hot), expected);
}

#[test]
fn gray_images_need_no_channels_and_channel_first_is_named() {
    let folder = folder();
    let path = file(&folder, |file| {
        array(file, "images", &[8, 8, 8], &[0u8; 512]);
        array(file, "labels", &[8], &[0u8; 8]);
    });
    assert_eq!(Dataset::open(&path, Verify::Yes).unwrap().sample_shape(), [8, 8, 1]);
    let path = file(&folder, |file| {
        array(file, "images", &[2, 3, 8, 8], &[0.0f64; 384]);
        array(file, "labels", &[2], &[0u8; 2]);
    });
    let error = message(&path, Verify::No);
    for part in ["float64 [2, 3, 8, 8]", "channel-first", "images.transpose(0, 2, 3, 1)", "astype('float32')"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let folder = folder();
    let path = file(&folder, |file| {
        array(file, "x", &[2], &[0i64; 2]);
        array(file, "labels", &[2, 2, 2], &[0i64; 8]);
        file.new_attr::<f64>().shape(3).create("value_range").unwrap().write(&[0.0, 1.0, 2.0]).unwrap();
        file.new_attr::<f64>().shape(2).create("classes").unwrap().write(&[0.0, 1.0]).unwrap();
    });
    let error = message(&path, Verify::No);
    for part in
        ["no 'images' (the file has: labels, x)", "'labels' is int64 [2, 2, 2]", "'value_range' is", "'classes' is"]
    {
        assert!(error.contains(part), "{error}");
    }
    assert!(error.contains("docs/data-format.md"), "{error}");
}

/// Images of one pixel with the given values, and the value range as attribute or not.
fn floats(folder: &TempDir, values: &[f32], value_range: Option<[f64; 2]>) -> std::path::PathBuf {
    file(folder, |file| {
        array(file, "images", &[values.len(), 1, 1, 1], values);
        array(file, "labels", &[values.len()], &vec![0u8; values.len()]);
        if let Some(range) = value_range {
            file.new_attr::<f64>().shape(2).create("value_range").unwrap().write(&range).unwrap();
        }
    })
}

#[test]
fn value_ranges_are_scaled_to_one() {
    let folder = folder();
    let read = |values: &[f32], range| {
        let dataset = Dataset::open(floats(&folder, values, range), Verify::No).unwrap();
        let all: Vec<u64> = (0..values.len() as u64).collect();
        dataset.gather(&all).unwrap()[IMAGES].as_slice::<f32>().unwrap().to_vec()
    };
    assert_eq!(read(&[0.0, 0.5, 1.0], Some([0.0, 1.0])), [-1.0, 0.0, 1.0]);
    assert_eq!(read(&[0.0, 51.0, 255.0], Some([0.0, 255.0])), [-1.0, -0.6, 1.0]);
    assert_eq!(read(&[0.0, 0.25], None), [-1.0, -0.5], "most likely [0, 1]");
    assert_eq!(read(&[-0.5, 0.25], None), [-0.5, 0.25], "most likely [-1, 1]");
    assert_eq!(read(&[0.0, 51.0], None), [-1.0, -0.6], "most likely [0, 255]");
    assert_eq!(read(&[-4.0, 0.0, 4.0], None), [-1.0, 0.0, 1.0], "no usual range");
    let error = message(floats(&folder, &[0.0, 255.0], Some([0.0, 1.0])), Verify::Yes);
    assert!(error.contains("values from 0 to 255, far outside value_range [0, 1]"), "{error}");
}

#[test]
fn bytes_of_another_range_are_scaled_too() {
    let folder = folder();
    let of_zero_and_one = |bytes: &[u8; 2]| {
        file(&folder, |file| {
            array(file, "images", &[2, 1, 1, 1], bytes);
            array(file, "labels", &[2], &[0u8; 2]);
            file.new_attr::<u32>().shape(2).create("value_range").unwrap().write(&[0u32, 1]).unwrap();
        })
    };
    assert!(message(of_zero_and_one(&[0, 255]), Verify::Yes).contains("values from 0 to 255, far outside"));
    let dataset = Dataset::open(of_zero_and_one(&[0, 1]), Verify::Yes).unwrap();
    assert_eq!(dataset.image_type().dtype, DType::F32);
    assert_eq!(dataset.gather(&[0, 1]).unwrap()[IMAGES].as_slice::<f32>().unwrap(), [-1.0, 1.0]);
}

#[test]
fn values_that_are_not_finite_name_file_and_image_when_read() {
    let folder = folder();
    for value in [f32::NAN, f32::INFINITY] {
        let path = floats(&folder, &[0.0, 0.5, value], Some([0.0, 1.0]));
        let expected = format!("d.h5' is no sound dataset: image 2 holds a value that is not finite ({value})");
        assert!(message(&path, Verify::Yes).contains(&expected));
        let unverified = Dataset::open(&path, Verify::No).unwrap();
        assert!(unverified.gather(&[2]).unwrap_err().to_string().contains(&expected));
        unverified.gather(&[0, 1]).unwrap();
    }
}
