//! Dataset files that are damaged, foreign or gone: a clear message, for a new run and for one that goes on.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{Place, contents};
use hdf5_metno::File;
use twinflow_array::HostArray;
use twinflow_data::{DatasetMetadata, write_dataset};

/// Sixteen gray pictures of 4 x 4 in two classes.
fn write_small(place: &Place) -> PathBuf {
    let path = place.path("d.h5");
    let pixels: Vec<u8> = (0..=255).collect();
    let labels: Vec<i32> = (0..16).map(|sample| sample % 2).collect();
    let images = HostArray::from_slice([16, 4, 4, 1], &pixels).unwrap();
    write_dataset(&path, &images, &labels, &DatasetMetadata::new("small", "made up", 2)).unwrap();
    path
}

fn edit(path: &Path, change: impl FnOnce(&File) -> hdf5_metno::Result<()>) {
    change(&File::open_rw(path).unwrap()).unwrap();
}

/// Writes the small dataset, spoils it, and asserts the message and that no run folder is made.
fn refused_after(spoil: impl FnOnce(&Path), parts: &[&str]) {
    let place = Place::new();
    spoil(&write_small(&place));
    place.train("r", "--set data.kind=hdf5 --set data.path=d.h5").refused(&[&["'d.h5'"], parts].concat());
    assert!(!place.path("r").exists(), "a refused command made a run folder");
}

#[test]
fn files_that_are_cut_short() {
    let cut = |length: usize| {
        move |path: &Path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() * length / 8]).unwrap();
        }
    };
    for eighths in [0, 1, 4, 7] {
        refused_after(cut(eighths), &["bytes)", "import the dataset again"]);
    }
}

#[test]
fn bytes_that_fail_their_checksums() {
    let pixel = |path: &Path| edit(path, |file| file.dataset("images")?.write_raw(&[9u8; 256]));
    refused_after(pixel, &["is damaged", "dataset 'images' has checksum", "import it again"]);
    let label = |path: &Path| edit(path, |file| file.dataset("labels")?.write(&[1i32; 16]));
    refused_after(label, &["is damaged", "dataset 'labels' has checksum", "import it again"]);
}

#[test]
fn files_of_another_schema_or_version() {
    let newer = |path: &Path| edit(path, |file| file.attr("schema_version")?.write_scalar(&4u32));
    refused_after(newer, &["has schema version 4", "up to 3", "use a newer program or import again"]);
    let pixels_alone = |path: &Path| edit(path, |file| file.unlink("labels"));
    refused_after(pixels_alone, &["there is no 'labels' (the file has: images)", "import it again"]);
}

#[test]
fn labels_that_name_no_class() {
    let fewer_classes = |path: &Path| edit(path, |file| file.attr("classes")?.write_scalar(&1u32));
    refused_after(fewer_classes, &["label 1 at index 1 is out of range", "1 classes", "import it again"]);
}

#[test]
fn values_that_are_not_finite() {
    let floats = |path: &Path| {
        edit(path, |file| {
            file.unlink("images")?;
            let mut pixels = [0.5f32; 256];
            pixels[5 * 16 + 3] = f32::NAN;
            file.new_dataset::<f32>().shape((16, 4, 4, 1)).create("images")?.write_raw(&pixels)
        })
    };
    refused_after(floats, &["image 5 holds a value that is not finite (NaN)"]);
}

#[test]
fn a_checkpoint_is_no_dataset() {
    let place = Place::new();
    place.train("r", "--set train.steps=1").ok();
    let before = contents(&place.path("r"));
    let refused = place.train("q", "--set data.kind=hdf5 --set data.path=r/checkpoints/step-00000001.h5");
    refused.refused(&["is an HDF5 file but no dataset", "'twinflow-checkpoint'"]);
    assert!(!place.path("q").exists() && contents(&place.path("r")) == before);
}

#[test]
fn data_that_vanish_or_change_before_a_run_goes_on() {
    let place = Place::new();
    let path = write_small(&place);
    place.train("r", "--set data.kind=hdf5 --set data.path=d.h5 --set train.steps=2 --set train.batch_size=8").ok();
    let before = contents(&place.path("r"));
    let resume = "train --resume r --set train.steps=3";
    fs::rename(&path, place.path("elsewhere.h5")).unwrap();
    place.run(resume).refused(&["no dataset at", "/d.h5'", "--set data.path=FILE"]);
    fs::write(&path, "not HDF5").unwrap();
    place.run(resume).refused(&["/d.h5' (8 bytes)", "--set data.path=FILE"]);
    assert!(contents(&place.path("r")) == before, "a refused command changed the run");
    place.run(&format!("{resume} --set data.path=elsewhere.h5")).ok();
    assert_eq!(place.metrics("r").len(), 3);
}
