//! WebDataset's tar files, sound and otherwise.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{JPEG, RGB, RGB_AT_13, folder, import_into, imported, picture_options, target};
use tar::{Builder, Header};
use tempfile::TempDir;
use twinflow_data::{IMAGES, PictureOptions, Source};

/// A tar file of the given members.
fn shard(folder: &Path, name: &str, members: &[(&str, &[u8])]) -> PathBuf {
    let mut builder = Builder::new(Vec::new());
    for (member, content) in members {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, member, *content).unwrap();
    }
    let path = folder.join(name);
    fs::write(&path, builder.into_inner().unwrap()).unwrap();
    path
}

fn refused(folder: &TempDir, from: &[PathBuf]) -> String {
    let message = import_into(folder, from, &picture_options()).unwrap_err().to_string();
    assert!(!target(folder).exists() && !message.contains('\n'), "{message}");
    message
}

#[test]
fn members_of_a_key_are_a_sample() {
    let folder = folder();
    let long = format!("{}/0002.jpg", "deep".repeat(40));
    let first: [(&str, &[u8]); 6] = [
        ("0001.json", br#"{"caption": "not this", "width": 3}"#),
        ("0001.txt", b"a bear\nein B\xc3\xa4r\n"),
        ("0001.png", RGB),
        (&long, JPEG),
        (&long.replace("jpg", "json"), br#"{"caption": "two", "url": "x"}"#),
        ("readme", b"no sample"),
    ];
    // All pictures before all texts, and a name with a second dot.
    let second: [(&str, &[u8]); 4] =
        [("1.seg.png", b"no picture"), ("1.PNG", RGB), ("1.cls", b"7"), ("1.json", br#"{"text": ["three", "drei"]}"#)];
    let shards = [shard(folder.path(), "a.tar", &first), shard(folder.path(), "b.tar", &second)];
    let report = import_into(&folder, &shards, &picture_options()).unwrap();
    assert_eq!((report.info.samples, report.notes), (3, Vec::<String>::new()));
    let dataset = imported(&folder);
    let captions: Vec<Vec<String>> = (0..3).map(|index| dataset.captions(index)).collect();
    assert_eq!(captions, [vec!["a bear", "ein Bär"], vec!["two"], vec!["three", "drei"]]);
    for place in [0, 2] {
        assert_eq!(crc32fast::hash(dataset.gather(&[place]).unwrap()[IMAGES].bytes()), RGB_AT_13);
    }
}

#[test]
fn a_folder_of_shards_is_the_shards_by_name() {
    let folder = folder();
    fs::create_dir(folder.path().join("set")).unwrap();
    for name in ["set/2.tar", "set/1.tar"] {
        shard(folder.path(), name, &[("x.png", RGB), ("x.txt", name.as_bytes())]);
    }
    fs::write(folder.path().join("set/stats.json"), "{}").unwrap();
    import_into(&folder, &[folder.path().join("set")], &picture_options()).unwrap();
    assert_eq!([0, 1].map(|index| imported(&folder).captions(index)), [["set/1.tar"], ["set/2.tar"]]);
}

#[test]
fn the_key_of_captions_can_be_named() {
    let folder = folder();
    let path = shard(folder.path(), "a.tar", &[("1.png", RGB), ("1.json", br#"{"text": "no", "alt": "yes"}"#)]);
    let options = |key: &str| PictureOptions { caption_key: Some(key.to_owned()), ..picture_options() };
    let message = import_into(&folder, std::slice::from_ref(&path), &options("title")).unwrap_err().to_string();
    assert!(message.ends_with("a.tar', member '1.json': there is no 'title' (its keys: alt, text)"), "{message}");
    import_into(&folder, &[path], &options("alt")).unwrap();
    assert_eq!(imported(&folder).captions(0), ["yes"]);
}

#[test]
fn shards_that_are_cut_short_or_none_are_told_before_anything_is_written() {
    let folder = folder();
    let whole = shard(folder.path(), "a.tar", &[("1.txt", b"one"), ("1.png", RGB), ("2.txt", b"two"), ("2.png", RGB)]);
    let bytes = fs::read(&whole).unwrap();
    let cut = |length: usize| {
        fs::write(&whole, &bytes[..length]).unwrap();
        refused(&folder, std::slice::from_ref(&whole))
    };
    // Two blocks of text, five of a picture: inside of its bytes, of the second picture's, and of a header.
    for (length, place) in
        [(2_000, " in the member '1.png'"), (bytes.len() - 2_000, " in the member '2.png'"), (3_700, "")]
    {
        let message = cut(length);
        assert!(message.ends_with(&format!("a.tar': it is cut short{place}: fetch it again")), "{length}: {message}");
    }
    fs::write(&whole, [&[0x1f, 0x8b], &bytes[2..]].concat()).unwrap();
    let message = refused(&folder, std::slice::from_ref(&whole));
    assert!(message.contains("it is gzipped; unpack it first"), "{message}");
    fs::write(&whole, "<html>".repeat(200)).unwrap();
    assert!(refused(&folder, std::slice::from_ref(&whole)).contains("it cannot be read as a tar file"));
    for empty in [&b""[..], &[0; 1024]] {
        fs::write(&whole, empty).unwrap();
        assert!(refused(&folder, std::slice::from_ref(&whole)).starts_with("no usable pictures in"));
    }
    assert!(!folder.path().join("d.h5.importing").exists());
    // Whole members, but no end: the writer may have been stopped.
    fs::write(&whole, &bytes[..bytes.len() - 1024]).unwrap();
    let report = import_into(&folder, &[whole], &picture_options()).unwrap();
    assert!(report.info.samples == 2 && report.notes[0].contains("has no end mark"), "{:?}", report.notes);
}

#[test]
fn members_that_cannot_be_used_are_named() {
    let folder = folder();
    let message = |members: &[(&str, &[u8])]| refused(&folder, &[shard(folder.path(), "a.tar", members)]);
    let without = message(&[("1.png", RGB), ("2.png", RGB), ("2.txt", b" \n"), ("3.png", RGB), ("3.txt", b"x")]);
    assert!(without.starts_with("2 pictures have no caption, such as 'a.tar/1.png': put a KEY.txt"), "{without}");
    let twice = message(&[("1.png", RGB), ("1.jpg", JPEG), ("1.txt", b"x")]);
    assert!(twice.ends_with("member '1.jpg': '1.png' is a picture of the same name up to the first dot"), "{twice}");
    let broken = message(&[("1.png", RGB), ("1.json", b"{\"text\": ")]);
    assert!(broken.ends_with("a.tar', member '1.json': EOF while parsing a value"), "{broken}");
    let damaged = message(&[("1.png", b""), ("1.txt", b"x")]);
    assert!(damaged.starts_with("picture 'a.tar/1.png': it is empty (0 bytes); repair it"), "{damaged}");
    let other = refused(&folder, &[folder.path().join("a.zip")]);
    assert!(
        other.ends_with(
            "a.zip' is neither a folder of pictures nor a .tar or .parquet file, as all must be that are named"
        ),
        "{other}"
    );
    assert!(refused(&folder, &[folder.path().join("gone.tar")]).starts_with("cannot open "));
}
