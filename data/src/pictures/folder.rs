//! A folder of pictures with captions beside them.
//!
//! Captions are in `metadata.jsonl` files, as in Hugging Face's imagefolder: a line `{"file_name": .., "text": ..}` for
//! each picture, named from the file's own folder. Their order is kept. Where there is none, `NAME.txt` beside
//! `NAME.png` holds a caption per line, and pictures are taken by name.

use std::{
    borrow::Cow,
    collections::HashMap,
    fs,
    io::{BufRead, BufReader},
    path::{Component, Path, PathBuf},
};

use serde_json::Value;

use super::{
    fault::{PictureFault, Within},
    listing::{ENDINGS, Listed, Listing, Origin},
    texts,
};
use crate::{DataError, error::io_error};

const METADATA: &str = "metadata.jsonl";
const ADVICE: &str = "write a NAME.txt beside each, or a metadata.jsonl with a line of file_name and text for each";
/// Words in file names from which Python's `datasets` makes splits: the pictures of all others are then dropped.
const SPLITS: [&str; 10] =
    ["train", "training", "test", "testing", "eval", "evaluation", "val", "valid", "validation", "dev"];

/// Pictures by their path from a folder.
#[derive(Debug)]
pub(crate) struct Folder(pub PathBuf);

impl Origin for Folder {
    fn bytes(&self, _place: usize, picture: &Listed) -> Result<Cow<'_, [u8]>, PictureFault> {
        Ok(fs::read(self.0.join(&picture.name))?.into())
    }
}

/// Finds pictures and captions among the files of a folder; no picture is opened.
///
/// # Errors
/// [`DataError::PictureSet`] for a line that cannot be used, [`DataError::NoCaption`], [`DataError::NoPictures`],
/// [`DataError::Io`].
pub(crate) fn list(folder: &Path, files: &[String], caption_key: Option<&str>) -> Result<Listing, DataError> {
    let metadata: Vec<&String> = files.iter().filter(|name| name.rsplit('/').next() == Some(METADATA)).collect();
    let pictures = files.iter().filter(|name| is_picture(name));
    let mut listing = match metadata.is_empty() {
        true => beside(folder, pictures.clone())?,
        false => of_metadata(folder, &metadata, caption_key)?,
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
///
/// # Errors
/// [`DataError::Io`].
pub(crate) fn files_below(folder: &Path) -> Result<Vec<String>, DataError> {
    let mut files = Vec::new();
    walk(folder, "", &mut files)?;
    Ok(files)
}

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

pub(crate) fn is_picture(name: &str) -> bool {
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
        let captions = texts::of_lines(&text);
        if captions.is_empty() {
            without.push(name.clone());
        }
        listing.pictures.push(Listed { name: name.clone(), captions });
    }
    match without.first() {
        Some(first) => Err(DataError::NoCaption { count: without.len(), first: first.clone(), advice: ADVICE }),
        None => Ok(listing),
    }
}

fn of_metadata(folder: &Path, files: &[&String], caption_key: Option<&str>) -> Result<Listing, DataError> {
    let (mut listing, mut places) = (Listing::default(), HashMap::new());
    for file in files {
        let path = folder.join(file);
        let prefix = file.strip_suffix(METADATA).unwrap_or_default();
        let lines = BufReader::new(fs::File::open(&path).map_err(io_error("open", &path))?).lines();
        for (line, text) in (1..).zip(lines) {
            let refused =
                |reason: String| DataError::PictureSet { path: path.clone(), within: Within::Line(line), reason };
            let text = text.map_err(|error| refused(error.to_string()))?;
            if text.trim().is_empty() {
                continue;
            }
            let picture = row(&text, prefix, caption_key).map_err(refused)?;
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

/// A line such as `{"file_name": .., "text": ..}`; other keys are left alone.
fn row(line: &str, prefix: &str, caption_key: Option<&str>) -> Result<Listed, String> {
    let row = texts::json_object(line)?;
    let name = row.get("file_name").and_then(Value::as_str).ok_or("there is no text 'file_name'")?;
    let mut parts = Path::new(name).components();
    if name.is_empty() || !parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(format!("file_name '{name}' leads out of the folder"));
    }
    let captions = texts::of_object(&row, caption_key).map_err(|reason| format!("'{name}': {reason}"))?;
    Ok(Listed { name: format!("{prefix}{name}"), captions })
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
