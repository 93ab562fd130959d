//! A folder of pictures with captions beside them.
//!
//! Captions are in `metadata.jsonl` files, as in Hugging Face's imagefolder: a line `{"file_name": .., "text": ..}` for
//! each picture, named from the file's own folder. Their order is kept. Where there is none, `NAME.txt` beside
//! `NAME.png` holds a caption per line, and pictures are taken by name.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader},
    path::{Component, Path},
};

use serde::Deserialize;

use crate::{DataError, error::io_error};

const METADATA: &str = "metadata.jsonl";
const ENDINGS: [&str; 5] = ["png", "jpg", "jpeg", "webp", "gif"];
/// Words in file names from which Python's `datasets` makes splits: the pictures of all others are then dropped.
const SPLITS: [&str; 10] =
    ["train", "training", "test", "testing", "eval", "evaluation", "val", "valid", "validation", "dev"];

/// What a folder holds.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub pictures: Vec<Listed>,
    /// What people should know about it.
    pub notes: Vec<String>,
}

/// A picture, by its path from the folder.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub name: String,
    pub captions: Vec<String>,
}

/// A line of `metadata.jsonl`; other keys are left alone.
#[derive(Deserialize)]
struct Row {
    file_name: String,
    text: Text,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "text must be a string or a list of strings")]
enum Text {
    One(String),
    Many(Vec<String>),
}

/// Finds pictures and captions; no picture is opened.
///
/// # Errors
/// [`DataError::CaptionLine`] for a line that cannot be used, [`DataError::NoCaption`], [`DataError::NoPictures`],
/// [`DataError::Io`].
pub(crate) fn list(folder: &Path) -> Result<Listing, DataError> {
    let mut files = Vec::new();
    walk(folder, "", &mut files)?;
    let metadata: Vec<&String> = files.iter().filter(|name| name.rsplit('/').next() == Some(METADATA)).collect();
    let pictures = files.iter().filter(|name| is_picture(name));
    let mut listing = match metadata.is_empty() {
        true => beside(folder, pictures.clone())?,
        false => of_metadata(folder, &metadata)?,
    };
    if listing.pictures.is_empty() {
        return Err(DataError::NoPictures { path: folder.to_owned() });
    }
    let unlisted = pictures.count().saturating_sub(listing.pictures.len());
    if unlisted > 0 {
        listing.notes.push(format!("{unlisted} pictures have no line in {METADATA} and are left out"));
    }
    let mut of_splits = listing.pictures.iter().filter(|picture| names_a_split(&picture.name));
    if let Some(first) = of_splits.next() {
        let note = format!(
            "{} file names, such as '{}', hold a word (train, test, val, ..) from which Python's `datasets` makes a \
             split; here all pictures are kept",
            of_splits.count() + 1,
            first.name
        );
        listing.notes.push(note);
    }
    Ok(listing)
}

/// All files below a folder, by name; hidden ones are no part of a set.
fn walk(folder: &Path, prefix: &str, found: &mut Vec<String>) -> Result<(), DataError> {
    let refused = |error| io_error("read the folder", folder)(error);
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>).map_err(refused)?;
    let mut names: Vec<_> = entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    for name in names.into_iter().filter(|name| !name.starts_with('.')) {
        let path = folder.join(&name);
        match path.is_dir() {
            true => walk(&path, &format!("{prefix}{name}/"), found)?,
            false => found.push(format!("{prefix}{name}")),
        }
    }
    Ok(())
}

fn is_picture(name: &str) -> bool {
    let ending = Path::new(name).extension().map(|ending| ending.to_string_lossy().to_lowercase());
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

fn names_a_split(name: &str) -> bool {
    name.split(|c: char| "-._ /".contains(c) || c.is_ascii_digit()).any(|word| SPLITS.contains(&word))
}

fn beside<'a>(folder: &Path, names: impl Iterator<Item = &'a String>) -> Result<Listing, DataError> {
    let (mut listing, mut without) = (Listing::default(), Vec::new());
    for name in names {
        let path = folder.join(name).with_extension("txt");
        let text = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            text => text.map_err(io_error("read", &path))?,
        };
        let text = String::from_utf8_lossy(&text);
        let captions: Vec<String> = text.trim_start_matches('\u{feff}').lines().filter_map(trimmed).collect();
        if captions.is_empty() {
            without.push(name.clone());
        }
        listing.pictures.push(Listed { name: name.clone(), captions });
    }
    match without.first() {
        Some(first) => Err(DataError::NoCaption { count: without.len(), first: first.clone() }),
        None => Ok(listing),
    }
}

fn of_metadata(folder: &Path, files: &[&String]) -> Result<Listing, DataError> {
    let (mut listing, mut places) = (Listing::default(), HashMap::new());
    for file in files {
        let path = folder.join(file);
        let prefix = file.strip_suffix(METADATA).unwrap_or_default();
        let lines = BufReader::new(fs::File::open(&path).map_err(io_error("open", &path))?).lines();
        for (line, text) in (1..).zip(lines) {
            let refused = |reason: String| DataError::CaptionLine { path: path.clone(), line, reason };
            let text = text.map_err(|error| refused(error.to_string()))?;
            if text.trim().is_empty() {
                continue;
            }
            let picture = row(&text, prefix).map_err(refused)?;
            // A picture with several lines has several captions.
            match places.get(&picture.name) {
                Some(&place) => {
                    let known: &mut Listed = &mut listing.pictures[place];
                    known.captions.extend(picture.captions);
                }
                None => {
                    places.insert(picture.name.clone(), listing.pictures.len());
                    listing.pictures.push(picture);
                }
            }
        }
    }
    Ok(listing)
}

fn row(line: &str, prefix: &str) -> Result<Listed, String> {
    let row: Row = serde_json::from_str(line.trim_start_matches('\u{feff}')).map_err(|error| {
        // A line of its own: serde's count of lines would mislead.
        let text = error.to_string();
        text.rsplit_once(" at line").map_or(text.clone(), |(reason, _)| reason.to_owned())
    })?;
    let mut parts = Path::new(&row.file_name).components();
    if row.file_name.is_empty() || !parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(format!("file_name '{}' leads out of the folder", row.file_name));
    }
    let texts = match row.text {
        Text::One(text) => vec![text],
        Text::Many(texts) => texts,
    };
    let captions: Vec<String> = texts.iter().map_while(|text| trimmed(text)).collect();
    match captions.is_empty() || captions.len() < texts.len() {
        true => Err(format!("'{}' has an empty caption", row.file_name)),
        false => Ok(Listed { name: format!("{prefix}{}", row.file_name), captions }),
    }
}

fn trimmed(text: &str) -> Option<String> {
    Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_splits_are_found_between_separators_only() {
        assert!(["a/test/1.png", "cat_train.png", "val-3.png", "dev2.png"].into_iter().all(names_a_split));
        assert!(!["contest.png", "trains/1.png", "devil.png"].into_iter().any(names_a_split));
    }
}
