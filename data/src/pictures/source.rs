//! Which kind of set the pictures are.

use std::path::{Path, PathBuf};

use super::{
    folder::{self, Folder},
    listing::{Listing, Origin},
    shards::Shards,
};
use crate::DataError;

/// Lists the pictures of a folder, or of tar files, or of a folder of them.
///
/// # Errors
/// [`DataError::NotPictures`] for anything else, and what the kinds of sets meet.
pub(crate) fn open(paths: &[PathBuf], caption_key: Option<&str>) -> Result<(Listing, Box<dyn Origin>), DataError> {
    let listed = match paths {
        [folder] if folder.is_dir() => open_folder(folder, caption_key)?,
        files => match files.iter().find(|path| !has_ending(path, "tar")) {
            None => of_shards(files.to_vec(), caption_key)?,
            Some(path) => return Err(DataError::NotPictures { path: path.clone() }),
        },
    };
    match listed.0.pictures.is_empty() {
        true => Err(DataError::NoPictures { path: paths.first().cloned().unwrap_or_default() }),
        false => Ok(listed),
    }
}

/// A folder is one of shards if it holds some, and no pictures.
fn open_folder(path: &Path, caption_key: Option<&str>) -> Result<(Listing, Box<dyn Origin>), DataError> {
    let files = folder::files_below(path)?;
    let with_ending = |ending| files.iter().map(|name| path.join(name)).filter(move |file| has_ending(file, ending));
    if !files.iter().any(|name| folder::is_picture(name)) {
        let shards: Vec<PathBuf> = with_ending("tar").collect();
        if !shards.is_empty() {
            return of_shards(shards, caption_key);
        }
    }
    Ok((folder::list(path, &files, caption_key)?, Box::new(Folder(path.to_owned()))))
}

fn of_shards(files: Vec<PathBuf>, caption_key: Option<&str>) -> Result<(Listing, Box<dyn Origin>), DataError> {
    let (listing, shards) = Shards::list(files, caption_key)?;
    Ok((listing, Box::new(shards)))
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending))
}
