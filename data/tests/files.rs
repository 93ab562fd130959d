//! Dataset files: written, read back, and damaged in every way that a user may meet.

mod common;

use std::{
    fs,
    os::unix::fs::{FileExt, PermissionsExt},
    path::Path,
    sync::Arc,
};

use common::{folder, message, pixels, small_images, write_small};
use twinflow_array::DType;
use twinflow_array::HostArray;
use twinflow_data::{
    BatchPlan, DEFAULT_CACHE_BYTES, Dataset, DatasetMetadata, IMAGES, LABELS, Loader, PrefetchLoader, Source, Verify,
    to_unit_range, write_dataset,
};

/// All samples of a source of six 2 x 3 x 1 images, in [-1, 1].
fn read_six(source: &dyn Source) -> (Vec<f32>, Vec<i32>) {
    let fields = source.gather(&[0, 1, 2, 3, 4, 5]).unwrap();
    let images = to_unit_range(&fields[IMAGES]).as_slice().unwrap().to_vec();
    (images, fields[LABELS].as_slice().unwrap().to_vec())
}

#[test]
fn byte_images_come_back_as_bytes_from_disk_and_from_memory() {
    let folder = folder();
    let path = write_small(&folder);
    let on_disk = Dataset::open(&path, Verify::Yes).unwrap();
    assert_eq!((on_disk.sample_shape(), on_disk.classes(), on_disk.samples()), ([2, 3, 1], 3, Some(6)));
    assert_eq!(on_disk.image_type().dtype, DType::U8);
    assert_eq!(on_disk.gather(&[5, 0]).unwrap()[IMAGES].bytes(), [&pixels()[30..], &pixels()[..6]].concat());
    let (images, labels) = read_six(&on_disk);
    let expected: Vec<f32> = pixels().into_iter().map(|byte| f32::from(byte) / 127.5 - 1.0).collect();
    assert_eq!((images, labels), (expected, vec![0, 1, 2, 0, 1, 2]));
    assert_eq!((pixels()[0], pixels()[35]), (0, 255), "the ends of the range are tested");
    let in_memory = Dataset::open(&path, Verify::No).unwrap().cached(DEFAULT_CACHE_BYTES).unwrap();
    assert!(in_memory.is_cached());
    assert_eq!(read_six(&in_memory), read_six(&on_disk));
    in_memory.verify().unwrap();
    assert!(!on_disk.cached(35).unwrap().is_cached(), "36 bytes do not fit in 35");
}

#[test]
fn float_images_come_back_as_stored() {
    let folder = folder();
    let path = folder.path().join("floats.h5");
    let values: Vec<f32> = (0..36).map(|i| i as f32 / 7.0 - 2.0).collect();
    let images = HostArray::from_slice([6, 2, 3, 1], &values).unwrap();
    write_dataset(&path, &images, &[0; 6], &DatasetMetadata::new("floats", "made up", 1)).unwrap();
    let dataset = Dataset::open(&path, Verify::Yes).unwrap();
    assert_eq!(read_six(&dataset).0, values);
    assert_eq!(dataset.info().value_range, [-1.0, 1.0]);
    assert_eq!(dataset.info().image_dtype, "f32");
    assert_eq!(read_six(&dataset.cached(DEFAULT_CACHE_BYTES).unwrap()).0, values);
}

#[test]
fn info_tells_everything() {
    let folder = folder();
    let info = Dataset::open(write_small(&folder), Verify::No).unwrap().info();
    assert_eq!((info.samples, info.height, info.width, info.channels, info.classes), (6, 2, 3, 1, 3));
    assert_eq!((info.class_counts.as_slice(), info.value_range), (&[2, 2, 2][..], [0.0, 255.0]));
    assert_eq!(info.class_names, ["zero", "one", "two"]);
    assert_eq!(info.checksums.images, Some(crc32fast::hash(&pixels())));
    let text = info.to_string();
    for line in
        ["dataset    small (schema version 1)", "images     6 of 2 x 3 x 1, u8 in [0, 255]", "2          2  two"]
    {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn a_read_only_file_opens() {
    let folder = folder();
    let path = write_small(&folder);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    let dataset = Dataset::open(&path, Verify::Yes).unwrap();
    let second = Dataset::open(&path, Verify::Yes).unwrap();
    assert_eq!(read_six(&dataset), read_six(&second));
    // The administrator may write to any file, so the mode alone proves nothing: the access mode of the descriptor does.
    let descriptors = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let of_file: Vec<_> = descriptors.filter(|entry| fs::read_link(entry.path()).is_ok_and(|to| to == path)).collect();
    assert!(!of_file.is_empty());
    for descriptor in of_file {
        let info = fs::read_to_string(Path::new("/proc/self/fdinfo").join(descriptor.file_name())).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
        assert_eq!(u32::from_str_radix(flags, 8).unwrap() & 3, 0, "O_RDONLY");
    }
}

#[test]
fn prefetching_reads_the_file_in_the_background() {
    let folder = folder();
    let dataset = Dataset::open(write_small(&folder), Verify::No).unwrap();
    let loader = Loader::new(Arc::new(dataset), BatchPlan::new(&[2, 2], 1, 2, 1).unwrap(), 0, 0).unwrap();
    let mut prefetch = PrefetchLoader::start(loader.clone(), 0, 3).unwrap();
    for step in 0..20 {
        assert_eq!(prefetch.next_batch().unwrap(), loader.batch_at(step).unwrap());
    }
}

#[test]
fn indices_beyond_the_end_are_errors() {
    let folder = folder();
    let dataset = Dataset::open(write_small(&folder), Verify::No).unwrap();
    let error = dataset.gather(&[6]).unwrap_err();
    assert_eq!(error.to_string(), "sample 6 asked of a dataset of 6");
}

#[test]
fn data_that_make_no_dataset_are_refused_and_leave_nothing() {
    let folder = folder();
    let path = folder.path().join("refused.h5");
    let three = DatasetMetadata::new("x", "y", 3);
    let write = |images: &HostArray, labels: &[i32], metadata: &DatasetMetadata| {
        write_dataset(&path, images, labels, metadata).unwrap_err().to_string()
    };
    let images = small_images();
    assert_eq!(write(&images, &[0; 5], &three), "6 images but 5 labels: they must be of the same split");
    let range = "is out of range: there are 3 classes, 0 to 2";
    assert_eq!(write(&images, &[0, 1, 2, 3, 0, 0], &three), format!("label 3 at index 3 {range}"));
    assert_eq!(write(&images, &[0, -1, 2, 3, 0, 0], &three), format!("label -1 at index 1 {range}"));
    let names = three.clone().with_class_names(["a", "b"]);
    assert_eq!(write(&images, &[0; 6], &names), "2 class names for 3 classes: give one name per class, or none");
    let none = DatasetMetadata::new("x", "y", 0);
    assert_eq!(write(&images, &[0; 6], &none), "0 classes; there must be at least 1 and at most 1048576");
    let flat = images.clone().reshape([6, 6]).unwrap();
    assert!(write(&flat, &[0; 6], &three).starts_with("images are u8[6, 6]; they must be u8 or f32 of shape"));
    let mut floats = vec![0.5f32; 36];
    floats[13] = f32::NAN;
    let floats = HostArray::from_slice([6, 2, 3, 1], &floats).unwrap();
    assert_eq!(write(&floats, &[0; 6], &three), "image 2 holds a value that is not finite (NaN)");
    let long = DatasetMetadata::new("x", "y".repeat(70_000), 3);
    assert!(write(&images, &[0; 6], &long).starts_with("source of 70000 bytes; at most 61440 fit"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_failed_write_keeps_the_old_file_and_leaves_no_partial_one() {
    let folder = folder();
    // A folder stands where the file should go, so the last step, the rename, fails.
    let path = folder.path().join("taken");
    fs::create_dir_all(path.join("inside")).unwrap();
    let error = write_dataset(&path, &small_images(), &[0; 6], &DatasetMetadata::new("x", "y", 1)).unwrap_err();
    assert!(error.to_string().starts_with("cannot finish"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_missing_file_is_told_with_the_way_to_make_it() {
    let error = message("/nowhere/data.h5", Verify::No);
    assert!(error.starts_with("no dataset at '/nowhere/data.h5': make one with `twinflow-xla data import`"), "{error}");
}

#[test]
fn truncated_files_are_errors_wherever_they_end() {
    let folder = folder();
    let path = write_small(&folder);
    let whole = fs::read(&path).unwrap();
    for bytes in [0, 1, 8, 100, 1000, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..bytes]).unwrap();
        let error = message(&path, Verify::No);
        let expected = format!("cannot open the dataset '{}' ({bytes} bytes): ", path.display());
        assert!(error.starts_with(&expected) && error.ends_with("import the dataset again"), "{error}");
    }
}

#[test]
fn garbage_is_an_error() {
    let folder = folder();
    let path = folder.path().join("garbage.h5");
    fs::write(&path, (0..5000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect::<Vec<_>>())
        .unwrap();
    assert!(message(&path, Verify::No).starts_with("cannot open the dataset"));
    assert!(message(folder.path(), Verify::No).starts_with("cannot open the dataset"), "a folder");
}

/// Flips one bit of the first place where `bytes` stand in the file.
fn flip_bit_in(path: &Path, bytes: &[u8]) {
    let whole = fs::read(path).unwrap();
    let at = whole.windows(bytes.len()).position(|window| window == bytes).expect("the bytes are in the file");
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&[bytes[0] ^ 0x10], at as u64).unwrap();
}

#[test]
fn a_flipped_bit_fails_the_checksum_of_its_dataset() {
    let folder = folder();
    let path = write_small(&folder);
    flip_bit_in(&path, &pixels());
    let mut damaged = pixels();
    damaged[0] ^= 0x10;
    let (written, found) = (crc32fast::hash(&pixels()), crc32fast::hash(&damaged));
    let expected = format!("damaged: dataset 'images' has checksum {found:08x}, written as {written:08x}");
    assert!(message(&path, Verify::Yes).contains(&expected));
    let opened = Dataset::open(&path, Verify::No).unwrap();
    assert!(opened.verify().unwrap_err().to_string().contains(&expected));
    assert!(opened.cached(36).unwrap().verify().unwrap_err().to_string().contains(&expected));

    let path = write_small(&folder);
    flip_bit_in(&path, bytemuck::cast_slice(&[0i32, 1, 2, 0, 1, 2]));
    let error = message(&path, Verify::No);
    assert!(error.contains("damaged: dataset 'labels' has checksum"), "{error}");
}

#[test]
fn no_damaged_byte_ends_the_process_or_changes_the_data() {
    let folder = folder();
    let path = write_small(&folder);
    let intact = Dataset::open(&path, Verify::Yes).unwrap().cached(36).unwrap();
    let whole = fs::read(&path).unwrap();
    // Every fifth byte inverted, one at a time. Damage to unused space is harmless; none may end the process or change
    // the data unseen.
    for at in (0..whole.len()).step_by(5) {
        let mut damaged = whole.clone();
        damaged[at] = !damaged[at];
        fs::write(&path, damaged).unwrap();
        if let Ok(dataset) = Dataset::open(&path, Verify::Yes) {
            assert_eq!(dataset.labels(), [0, 1, 2, 0, 1, 2], "byte {at}");
            assert_eq!(read_six(&dataset).0, read_six(&intact).0, "byte {at}");
        }
    }
}

/// Changes a finished file with the library itself, as another program could.
fn edit(path: &Path, change: impl FnOnce(&hdf5_metno::File) -> hdf5_metno::Result<()>) {
    let file = hdf5_metno::File::open_rw(path).unwrap();
    change(&file).unwrap();
}

#[test]
fn other_schemas_and_newer_versions_are_errors() {
    let folder = folder();
    let path = write_small(&folder);
    edit(&path, |file| file.attr("schema_version")?.write_scalar(&4u32));
    assert!(message(&path, Verify::No).contains("has schema version 4; this program reads versions up to 3"));
    edit(&path, |file| {
        file.delete_attr("schema")?;
        let text: hdf5_metno::types::VarLenUnicode = "twinflow-checkpoint".parse().unwrap();
        file.new_attr::<hdf5_metno::types::VarLenUnicode>().create("schema")?.write_scalar(&text)
    });
    assert!(message(&path, Verify::No).contains("is 'twinflow-checkpoint', not 'twinflow-dataset'"));
}

#[test]
fn files_with_other_labels_types_and_shapes_are_errors() {
    let folder = folder();
    let path = write_small(&folder);
    let with_labels = |labels: &[i32]| {
        edit(&path, |file| {
            file.unlink("labels")?;
            let stored = file.new_dataset::<i32>().shape(labels.len()).create("labels")?;
            stored.write(labels)?;
            stored.new_attr::<u32>().create("checksum")?.write_scalar(&crc32fast::hash(bytemuck::cast_slice(labels)))
        });
        message(&path, Verify::No)
    };
    assert!(with_labels(&[0, 1, 2, 0, 7, 2]).contains("label 7 at index 4 is out of range: there are 3 classes"));
    assert!(with_labels(&[0, 1, 2, 0]).contains("6 images but 4 labels"));
    edit(&path, |file| {
        file.unlink("labels")?;
        file.new_dataset::<bool>().shape(6).create("labels")?.write(&[true; 6])?;
        file.unlink("images")?;
        file.new_dataset::<u8>().shape((6, 6)).create("images")?.write_raw(&[0u8; 36])
    });
    let error = message(&path, Verify::No);
    for part in
        ["'images' is uint8 [6, 6]; it must be u8 or f32 [n, height, width, channels]", "'labels' is bool [6]; "]
    {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn arrays_that_were_never_written_are_no_damage() {
    let folder = folder();
    let path = write_small(&folder);
    edit(&path, |file| {
        file.unlink("images")?;
        let images = file.new_dataset::<u8>().chunk((2, 2, 3, 1)).shape((6, 2, 3, 1)).create("images")?;
        images.write_slice(&ndarray::Array4::<u8>::ones((2, 2, 3, 1)), (0..2, .., .., ..))
    });
    assert!(message(&path, Verify::No).contains("33 % of 'images' were written, the rest reads as zeros"));
    edit(&path, |file| {
        file.unlink("images")?;
        file.new_dataset::<u8>().chunk((1, 9, 9, 9)).shape((1 << 40, 9, 9, 9)).create("images").map(drop)
    });
    let huge = message(&path, Verify::No);
    assert!(huge.contains("0 % of 'images' were written") && !huge.contains("damaged"), "{huge}");
    edit(&path, |file| {
        file.unlink("labels")?;
        file.new_dataset::<i32>().shape(6).create("labels").map(drop)
    });
    assert!(message(&path, Verify::No).contains("0 % of 'labels' were written"));
}
