//! Importing IDX files.

use std::{fs, io::Write, path::Path};

use flate2::{Compression, write::GzEncoder};
use tempfile::TempDir;
use twinflow_data::{Dataset, DatasetMetadata, FASHION_MNIST_CLASSES, IMAGES, Source, Verify, import_idx};

/// IDX bytes of the given dims and elements.
fn idx(dims: &[u32], elements: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dims.len() as u8];
    dims.iter().for_each(|dim| bytes.extend(dim.to_be_bytes()));
    bytes.extend(elements);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn images() -> Vec<u8> {
    idx(&[4, 2, 3], &(0..24).map(|i| i * 10).collect::<Vec<u8>>())
}

fn labels() -> Vec<u8> {
    idx(&[4], &[2, 0, 1, 2])
}

/// Imports files of the given bytes; the message if refused.
fn import(folder: &Path, images: &[u8], labels: &[u8]) -> Result<Dataset, String> {
    let [images_path, labels_path, target] = ["images", "labels", "out/set.h5"].map(|name| folder.join(name));
    fs::write(&images_path, images).unwrap();
    fs::write(&labels_path, labels).unwrap();
    let metadata = DatasetMetadata::new("set", "made up", 3);
    import_idx(images_path, labels_path, &target, &metadata).map_err(|error| error.to_string())?;
    Dataset::open(target, Verify::Yes).map_err(|error| error.to_string())
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn plain_and_gzipped_files_give_the_same_dataset() {
    let folder = folder();
    let plain = import(folder.path(), &images(), &labels()).unwrap();
    let zipped = import(folder.path(), &gzip(&images()), &gzip(&labels())).unwrap();
    assert_eq!(plain.info().checksums, zipped.info().checksums);
    assert_eq!((plain.sample_shape(), plain.labels()), ([2, 3, 1], &[2, 0, 1, 2][..]));
    assert_eq!(plain.gather(&[2]).unwrap()[IMAGES].bytes(), [120, 130, 140, 150, 160, 170]);
}

#[test]
fn a_fourth_dim_is_the_channels() {
    let folder = folder();
    let dataset = import(folder.path(), &idx(&[4, 2, 1, 3], &[7; 24]), &labels()).unwrap();
    assert_eq!(dataset.sample_shape(), [2, 1, 3]);
}

#[test]
fn labels_of_any_integer_type_or_one_hot_are_taken() {
    let folder = folder();
    let labels = |code: u8, dims: &[u32], elements: &[u8]| {
        let mut bytes = idx(dims, elements);
        bytes[2] = code;
        import(folder.path(), &images(), &bytes).map(|dataset| dataset.labels().to_vec())
    };
    assert_eq!(labels(0x09, &[4], &[2, 0, 1, 2]).unwrap(), [2, 0, 1, 2]);
    assert_eq!(labels(0x0b, &[4, 1], &[0, 2, 0, 0, 0, 1, 0, 2]).unwrap(), [2, 0, 1, 2]);
    let wide: Vec<u8> = [2i32, 0, 1, 2].iter().flat_map(|label| label.to_be_bytes()).collect();
    assert_eq!(labels(0x0c, &[4], &wide).unwrap(), [2, 0, 1, 2]);
    assert_eq!(labels(0x08, &[4, 3], &[0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1]).unwrap(), [2, 0, 1, 2]);
    // As in QMNIST, whose first of eight columns is the class.
    let error = labels(0x08, &[4, 2], &[2, 0, 0, 0, 1, 0, 2, 0]).unwrap_err();
    assert!(error.contains("row 0 is not one-hot") && error.contains("convert"), "{error}");
    assert!(labels(0x09, &[4], &[0, 255, 0, 0]).unwrap_err().contains("label -1 at index 1 is out of range"));
}

#[test]
fn truncated_files_tell_expected_and_found_bytes() {
    let folder = folder();
    let path = folder.path().join("images");
    for (bytes, expected) in [(0, 4), (3, 4), (4, 8), (10, 12), (15, 16), (16, 40), (39, 40)] {
        let error = import(folder.path(), &images()[..bytes], &labels()).unwrap_err();
        let start = format!("'{}' has {bytes} bytes where its header asks for {expected}", path.display());
        assert_eq!(error, start + ": it is truncated; fetch it again");
    }
    let noise: Vec<u8> = (0..24u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let zipped = gzip(&idx(&[4, 2, 3], &noise));
    for bytes in [5, 15, zipped.len() - 20] {
        let error = import(folder.path(), &zipped[..bytes], &labels()).unwrap_err();
        assert!(error.contains("it is truncated; fetch it again"), "{error}");
    }
    assert!(!folder.path().join("out").exists(), "nothing is written for bad input");
}

#[test]
fn longer_files_are_errors() {
    let folder = folder();
    let longer = [images(), vec![0; 9]].concat();
    let error = import(folder.path(), &longer, &labels()).unwrap_err();
    assert!(
        error.contains("has at least 41 bytes where its header asks for 40: something follows the data"),
        "{error}"
    );
}

#[test]
fn swapped_and_foreign_files_are_told_by_their_magic() {
    let folder = folder();
    let error = import(folder.path(), &labels(), &labels()).unwrap_err();
    let expected = "is no IDX file of images (00 00 08 03, or 00 00 08 04 with channels): it starts with the bytes [00, 00, 08, 01]";
    assert!(error.contains(expected), "{error}");
    let error = import(folder.path(), &images(), b"PK\x03\x04 a zip").unwrap_err();
    assert!(
        error.contains("is no IDX file of labels (00 00 08 01, or 09, 0b or 0c for wider integers)")
            && error.contains("it starts with the bytes [50, 4b, 03, 04]"),
        "{error}"
    );
    let floats = [vec![0, 0, 0x0d, 3], images()[4..].to_vec()].concat();
    assert!(import(folder.path(), &floats, &labels()).unwrap_err().contains("[00, 00, 0d, 03]"));
}

#[test]
fn impossible_dims_are_errors() {
    let folder = folder();
    let empty = import(folder.path(), &idx(&[0, 2, 3], &[]), &labels()).unwrap_err();
    assert!(empty.contains("has dims [0, 2, 3]: each must be at least 1"), "{empty}");
    let huge = import(folder.path(), &idx(&[u32::MAX; 3], &[]), &labels()).unwrap_err();
    assert!(huge.contains("has dims [4294967295, 4294967295, 4294967295]"), "{huge}");
    let large = import(folder.path(), &idx(&[1 << 31, 1 << 20, 1], &[0]), &labels()).unwrap_err();
    assert!(large.contains("has 17 bytes where its header asks for 2251799813685264"), "{large}");
}

#[test]
fn labels_are_checked_against_images_and_classes() {
    let folder = folder();
    let error = import(folder.path(), &images(), &idx(&[3], &[0, 1, 2])).unwrap_err();
    assert_eq!(error, "4 images but 3 labels: they must be of the same split");
    let error = import(folder.path(), &images(), &idx(&[4], &[0, 1, 3, 2])).unwrap_err();
    assert_eq!(error, "label 3 at index 2 is out of range: there are 3 classes, 0 to 2");
}

#[test]
fn a_damaged_gzip_stream_is_an_error() {
    let folder = folder();
    let mut zipped = gzip(&images());
    let last = zipped.len() - 6;
    zipped[last] ^= 1; // in the stored CRC of the content
    let error = import(folder.path(), &zipped, &labels()).unwrap_err();
    assert!(error.starts_with("cannot read"), "{error}");
}

#[test]
fn a_failed_import_keeps_the_older_dataset() {
    let folder = folder();
    import(folder.path(), &images(), &labels()).unwrap();
    import(folder.path(), &images()[..20], &labels()).unwrap_err();
    let kept = Dataset::open(folder.path().join("out/set.h5"), Verify::Yes).unwrap();
    assert_eq!(kept.labels(), [2, 0, 1, 2]);
    assert_eq!(fs::read_dir(folder.path().join("out")).unwrap().count(), 1);
}

#[test]
fn fashion_mnist_imports_where_it_is_installed() {
    let installed = Path::new("/usr/share/datasets/fashion-mnist");
    if !installed.exists() {
        return;
    }
    let folder = folder();
    let [images, labels] = ["images-idx3", "labels-idx1"].map(|part| installed.join(format!("t10k-{part}-ubyte.gz")));
    let metadata = DatasetMetadata::new("fashion-mnist-test", "Debian", 10).with_class_names(FASHION_MNIST_CLASSES);
    let info = import_idx(images, labels, folder.path().join("test.h5"), &metadata).unwrap();
    assert_eq!((info.samples, info.height, info.width, info.channels), (10_000, 28, 28, 1));
    assert_eq!(info.class_counts, [1000; 10]);
    assert!(info.file_bytes < 8_200_000, "7.84 MB of pixels in {} bytes", info.file_bytes);
}
