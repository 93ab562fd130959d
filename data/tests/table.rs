//! Parquet files of pictures, sound and otherwise. `datasets.parquet` is written by `datasets` 5.2 (`Dataset.to_parquet`
//! of a column of its type Image), `lists.parquet` by pyarrow 26: zstd, row groups of two rows, lists of captions, a row
//! without bytes and one of zero bytes.

mod common;

use std::{fs, path::PathBuf};

use common::{RGB_AT_13, folder, import_into, imported, picture_options, target};
use tempfile::TempDir;
use twinflow_data::{IMAGES, PictureOptions, Source};

const DATASETS: &[u8] = include_bytes!("pictures/datasets.parquet");
const LISTS: &[u8] = include_bytes!("pictures/lists.parquet");

fn file(folder: &TempDir, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

fn refused(folder: &TempDir, content: &[u8], options: &PictureOptions) -> String {
    let path = file(folder, "a.parquet", content);
    let message = import_into(folder, &[path], options).unwrap_err().to_string();
    assert!(!target(folder).exists() && !message.contains('\n'), "{message}");
    message
}

fn checksum(dataset: &twinflow_data::Dataset, sample: u64) -> u32 {
    crc32fast::hash(dataset.gather(&[sample]).unwrap()[IMAGES].bytes())
}

#[test]
fn rows_are_samples_over_files_and_row_groups() {
    let folder = folder();
    file(&folder, "set/data/0.parquet", DATASETS);
    file(&folder, "set/data/1.parquet", LISTS);
    file(&folder, "set/README.md", b"x");
    let options = PictureOptions { skip_damaged: true, ..picture_options() };
    // The first file's captions are under 'caption', the second's under 'text'.
    let report = import_into(&folder, &[folder.path().join("set")], &options).unwrap();
    assert_eq!(report.info.samples, 6);
    let nothing = "'1.parquet, row 2': its row holds no bytes (the path of a file alone is not followed)";
    assert_eq!(report.skipped, [nothing, "'1.parquet, row 3': it is empty (0 bytes)"]);
    let dataset = imported(&folder);
    let captions: Vec<String> = (0..6).map(|sample| dataset.captions(sample).join(" | ")).collect();
    assert_eq!(captions, ["a bear", "ein Bär", "three", "one | eins", "two", "five | cinq | fünf"]);
    assert_eq!([0, 2, 3, 5].map(|sample| checksum(&dataset, sample)), [RGB_AT_13; 4]);
    assert!(checksum(&dataset, 1) != RGB_AT_13 && checksum(&dataset, 4) != RGB_AT_13);
}

#[test]
fn an_import_goes_on_in_the_middle_of_a_file() {
    let folder = folder();
    let files = [file(&folder, "0.parquet", DATASETS), file(&folder, "1.parquet", LISTS)];
    let message = import_into(&folder, &files, &picture_options()).unwrap_err().to_string();
    assert!(message.starts_with("picture '1.parquet, row 2': its row holds no bytes"), "{message}");
    let options = PictureOptions { skip_damaged: true, ..picture_options() };
    assert_eq!(import_into(&folder, &files, &options).unwrap().info.samples, 6);
    assert_eq!(checksum(&imported(&folder), 5), RGB_AT_13);
}

#[test]
fn columns_that_are_missing_are_told_with_those_that_there_are() {
    let folder = folder();
    let options = |key: &str| PictureOptions { caption_key: Some(key.to_owned()), ..picture_options() };
    let end = "(its columns: label, image, text, alt); name the one of captions by --caption-key";
    for key in ["title", "label"] {
        let message = refused(&folder, LISTS, &options(key));
        assert!(message.ends_with(&format!("a.parquet': there is no column '{key}' of texts {end}")), "{message}");
    }
    let message = refused(&folder, LISTS, &options("alt"));
    assert!(
        message.starts_with("2 pictures have no caption, such as 'a.parquet, row 2': leave such rows"),
        "{message}"
    );
    let without = replaced(DATASETS, b"image", b"photo");
    let message = refused(&folder, &without, &picture_options());
    assert!(message.ends_with("there is no column 'image' of bytes (its columns: photo, caption)"), "{message}");
}

#[test]
fn files_that_are_no_parquet_or_cut_short_are_told() {
    let folder = folder();
    for content in [&b""[..], b"<html>", &DATASETS[..5_000], &DATASETS[5_000..DATASETS.len() - 9], &[0; 3_000]] {
        let message = refused(&folder, content, &picture_options());
        assert!(message.contains("a.parquet': it cannot be read as a parquet file: "), "{message}");
    }
    assert!(!folder.path().join("d.h5.importing").exists());
}

/// Bytes with all occurrences of some replaced by others of the same number.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for start in 0..bytes.len() - from.len() {
        if bytes[start..].starts_with(from) {
            bytes[start..start + to.len()].copy_from_slice(to);
        }
    }
    bytes
}

#[test]
fn flipped_bytes_never_panic() {
    let folder = folder();
    let options = PictureOptions { skip_damaged: true, ..picture_options() };
    // Mostly in the footer and in page headers, which lie before and behind the pictures' bytes.
    let places = (0..200).chain(LISTS.len() - 2_200..LISTS.len()).step_by(97);
    for place in places {
        let mut bytes = LISTS.to_vec();
        bytes[place] ^= 0x15;
        let _ = import_into(&folder, &[file(&folder, "a.parquet", &bytes)], &options);
    }
}
