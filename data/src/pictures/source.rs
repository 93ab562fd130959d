//! Which kind of set the pictures are.

use std::path::{Path, PathBuf};

use super::{
    folder::{self, Folder},
    listing::{Listing, Origin},
    shards::Shards,
    table::Table,
};
use crate::DataError;

/// A listing and the way to its bytes.
type Opened = (Listing, Box<dyn Origin>);

/// Files that hold many pictures, by the ending of their name.
const KINDS: [(&str, Open); 2] = [("tar", of_shards), ("parquet", of_table)];

/// Lists files of one kind, given the key of captions.
type Open = fn(Vec<PathBuf>, Option<&str>) -> Result<Opened, DataError>;

/// Lists the pictures of a folder, or of tar or parquet files, or of a folder of such.
///
/// # Errors
/// [`DataError::NotPictures`] for anything else, [`DataError::NoPictures`], and what the kinds of sets meet.
pub(crate) fn open(paths: &[PathBuf], caption_key: Option<&str>) -> Result<Opened, DataError> {
    let first = paths.first().cloned().unwrap_or_default();
    let opened = match paths {
        [folder] if folder.is_dir() => open_folder(folder, caption_key)?,
        files => {
            let kind = KINDS.iter().find(|(ending, _)| has_ending(&first, ending));
            let (ending, open) = kind.ok_or_else(|| DataError::NotPictures { path: first.clone() })?;
            match files.iter().find(|path| !has_ending(path, ending)) {
                None => open(files.to_vec(), caption_key)?,
                Some(other) => return Err(DataError::NotPictures { path: other.clone() }),
            }
        }
    };
    match opened.0.pictures.is_empty() {
        true => Err(DataError::NoPictures { path: first }),
        false => Ok(opened),
    }
}

/// A folder is one of tar or parquet files if it holds such, and no pictures.
fn open_folder(path: &Path, caption_key: Option<&str>) -> Result<Opened, DataError> {
    let files = folder::files_below(path)?;
    if !files.iter().any(|name| folder::is_picture(name)) {
        for (ending, open) in KINDS {
            let of_kind = files.iter().filter(|name| has_ending(Path::new(name), ending));
            let (names, paths): (Vec<_>, Vec<_>) = of_kind.map(|name| (name.as_str(), path.join(name))).unzip();
            if !paths.is_empty() {
                let (mut listing, origin) = open(paths, caption_key)?;
                listing.notes.extend(splits_note(&names));
                return Ok((listing, origin));
            }
        }
    }
    Ok((folder::list(path, &files, caption_key)?, Box::new(Folder(path.to_owned()))))
}

/// What to tell where some of a folder's files look like one split, and some do not.
fn splits_note(names: &[&str]) -> Option<String> {
    let is_train = |name: &&&str| name.contains("train");
    let (train, other) = (names.iter().find(is_train)?, names.iter().find(|name| !is_train(name))?);
    Some(format!("all files are taken, '{train}' and '{other}' among them: name those to take if they are splits"))
}

fn of_shards(files: Vec<PathBuf>, caption_key: Option<&str>) -> Result<Opened, DataError> {
    let (listing, shards) = Shards::list(files, caption_key)?;
    Ok((listing, Box::new(shards)))
}

fn of_table(files: Vec<PathBuf>, caption_key: Option<&str>) -> Result<Opened, DataError> {
    let (listing, table) = Table::list(files, caption_key)?;
    Ok((listing, Box::new(table)))
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending))
}
