//! Folders of pictures with captions, sound and otherwise.

mod common;

use std::fs;

use common::{JPEG, RGB, RGB_AT_13, folder, import_into, imported as open, picture_options, target};
use tempfile::TempDir;
use twinflow_data::{DataError, IMAGES, ImportedPictures, LABELS, PictureOptions, Source, Verify};

/// A folder `set` of the given files.
fn set(files: &[(&str, &[u8])]) -> TempDir {
    let folder = folder();
    for (name, content) in files {
        let path = folder.path().join("set").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn import(folder: &TempDir, skip_damaged: bool) -> Result<ImportedPictures, DataError> {
    import_into(folder, &[folder.path().join("set")], &PictureOptions { skip_damaged, ..picture_options() })
}

fn refused(files: &[(&str, &[u8])]) -> String {
    let folder = set(files);
    let message = import(&folder, false).unwrap_err().to_string();
    assert!(!target(&folder).exists(), "nothing that looks finished");
    message
}

#[test]
fn rows_of_metadata_drive_in_their_order_with_all_captions() {
    let lines = "{\"file_name\": \"b/train.png\", \"text\": \"a b\", \"other\": 1}\n\n\
                 {\"file_name\": \"a.jpg\", \"text\": [\"ein Bär\", \"a bear\"]}\n\
                 {\"file_name\": \"b/train.png\", \"text\": \"again\"}\n";
    let folder = set(&[("metadata.jsonl", lines.as_bytes()), ("a.jpg", JPEG), ("b/train.png", RGB), ("c.png", RGB)]);
    let imported = import(&folder, false).unwrap();
    assert_eq!((imported.info.samples, imported.info.captions, imported.info.schema_version), (2, 4, 2));
    let notes = imported.notes.join("\n");
    assert!(notes.contains("1 pictures have no line") && notes.contains("such as 'b/train.png'"), "{notes}");
    let dataset = open(&folder);
    assert_eq!((dataset.sample_shape(), dataset.classes()), ([13, 13, 3], 0));
    assert_eq!(dataset.captions(0), ["a b", "again"]);
    assert_eq!(dataset.captions(1), ["ein Bär", "a bear"]);
    assert!(dataset.captions(2).is_empty(), "no such sample");
    let fields = dataset.gather(&[0]).unwrap();
    assert_eq!(crc32fast::hash(fields[IMAGES].bytes()), RGB_AT_13);
    assert_eq!(fields[LABELS].as_slice::<i32>().unwrap(), [0], "the label of no class");
    let text = dataset.info().to_string();
    assert!(text.contains("captions   4, such as\n           a b\n           ein Bär\n"), "{text}");
}

#[test]
fn texts_beside_pictures_hold_a_caption_per_line() {
    let folder = set(&[("2.png", RGB), ("2.txt", b"two\n\n zwei \n"), ("1.jpg", JPEG), ("1.txt", b"one")]);
    import(&folder, false).unwrap();
    let dataset = open(&folder);
    assert_eq!([dataset.captions(0), dataset.captions(1)], [vec!["one"], vec!["two", "zwei"]]);
}

#[test]
fn captions_that_are_missing_empty_or_no_json_are_told_before_anything_is_written() {
    let message = refused(&[("1.png", RGB), ("2.png", RGB), ("2.txt", b" \n"), ("3.png", RGB), ("3.txt", b"x")]);
    assert!(message.starts_with("2 pictures have no caption, such as '1.png'"), "{message}");
    let line = |line: &str| {
        let lines = format!("{{\"file_name\": \"1.png\", \"text\": \"x\"}}\n{line}\n");
        let message = refused(&[("1.png", RGB), ("metadata.jsonl", lines.as_bytes())]);
        message.split_once("metadata.jsonl', line 2: ").unwrap_or_else(|| panic!("{message}")).1.to_owned()
    };
    assert_eq!(line("{\"file_name\": \"1.png\""), "EOF while parsing an object");
    assert_eq!(line("{\"file_name\": \"1.png\"}"), "'1.png': there is no 'text' or 'caption' (its keys: file_name)");
    assert_eq!(line("{\"text\": \"x\"}"), "there is no text 'file_name'");
    assert_eq!(
        line("{\"file_name\": \"1.png\", \"text\": 3}"),
        "'1.png': 'text' must be a string or a list of strings"
    );
    assert_eq!(line("{\"file_name\": \"1.png\", \"text\": [\"x\", \" \"]}"), "'1.png': 'text' is an empty caption");
    for name in ["../1.png", "/1.png", ""] {
        let text = format!("{{\"file_name\": \"{name}\", \"text\": \"x\"}}");
        assert_eq!(line(&text), format!("file_name '{name}' leads out of the folder"));
    }
    assert!(refused(&[("notes.md", b"x")]).starts_with("no usable pictures in"));
}

#[test]
fn a_picture_that_cannot_be_used_is_named_or_skipped_and_counted() {
    let strip = image_of(1, 10_000);
    let lines: String = ["empty.png", "good.png", "strip.png", "page.png", "cut.jpg", "gone.png"]
        .map(|name| format!("{{\"file_name\": \"{name}\", \"text\": \"{name}\"}}\n"))
        .concat();
    let files: [(&str, &[u8]); 6] = [
        ("metadata.jsonl", lines.as_bytes()),
        ("empty.png", b""),
        ("good.png", RGB),
        ("strip.png", &strip),
        ("page.png", b"<html>"),
        ("cut.jpg", &JPEG[..500]),
    ];
    let message = refused(&files);
    assert!(message.starts_with("picture 'empty.png': it is empty (0 bytes); repair it"), "{message}");
    let folder = set(&files);
    let imported = import(&folder, true).unwrap();
    assert_eq!((imported.info.samples, imported.skipped.len()), (1, 5));
    for (skipped, part) in imported.skipped.iter().zip(["0 bytes", "1 x 10000", "is no PNG", "damaged", "No such file"])
    {
        assert!(skipped.contains(part), "{skipped}");
    }
    let dataset = open(&folder);
    assert_eq!(dataset.captions(0), ["good.png"]);
    assert_eq!(crc32fast::hash(dataset.gather(&[0]).unwrap()[IMAGES].bytes()), RGB_AT_13);
}

#[test]
fn an_import_that_stopped_goes_on_where_it_was() {
    let files: Vec<(String, &[u8])> = (0..130)
        .flat_map(|i| {
            [(format!("{i:03}.png"), if i == 100 { b"" } else { RGB }), (format!("{i:03}.txt"), b"x" as &[u8])]
        })
        .collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, content)| (name.as_str(), *content)).collect();
    let folder = set(&files);
    import(&folder, false).unwrap_err();
    assert!(!target(&folder).exists());
    let spool = folder.path().join("d.h5.importing");
    assert_eq!(fs::metadata(spool.join("pixels-13x13")).unwrap().len(), 100 * 13 * 13 * 3);
    // What was done is not read again.
    fs::write(folder.path().join("set/000.png"), "").unwrap();
    fs::write(folder.path().join("set/100.png"), RGB).unwrap();
    assert_eq!(import(&folder, false).unwrap().info.samples, 130);
    assert!(!spool.exists());
    let whole = open(&folder).gather(&(0..130).collect::<Vec<_>>()).unwrap();
    for square in whole[IMAGES].bytes().chunks_exact(13 * 13 * 3) {
        assert_eq!(crc32fast::hash(square), RGB_AT_13);
    }
}

#[test]
fn flipped_bits_in_captions_are_damage() {
    let folder = set(&[("1.png", RGB), ("1.txt", b"x")]);
    import(&folder, false).unwrap();
    let file = hdf5_metno::File::open_rw(target(&folder)).unwrap();
    file.dataset("captions").unwrap().write_raw(b"y").unwrap();
    file.close().unwrap();
    let message = common::message(target(&folder), Verify::No);
    assert!(message.contains("damaged: dataset 'captions' has checksum"), "{message}");
}

/// A PNG of one colour.
fn image_of(width: u32, height: u32) -> Vec<u8> {
    let mut png = std::io::Cursor::new(Vec::new());
    image::GrayImage::new(width, height).write_to(&mut png, image::ImageFormat::Png).unwrap();
    png.into_inner()
}
