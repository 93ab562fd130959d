//! Parquet files of pictures, as Hugging Face's datasets are: a column `image` of `{bytes, path}` and one of captions,
//! a text or a list of them.

use std::{
    borrow::Cow,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use parquet::{data_type::ByteArray, errors::ParquetError};

use super::{
    fault::{PictureFault, Within},
    listing::{Listed, Listing, Origin},
    parquet_column::{Column, names},
    texts,
};
use crate::DataError;

const IMAGE: &str = "image";
/// Rows of captions read at once.
const CAPTIONS_AT_ONCE: usize = 1024;
const ADVICE: &str = "leave such rows out of the file, or name another column of captions by --caption-key";

/// Pictures row by row.
pub(crate) struct Table {
    files: Vec<PathBuf>,
    /// The place of each file's first row, and the number of all.
    firsts: Vec<usize>,
    /// Where reading goes on; locked because a column's reader is for one thread.
    next: Mutex<Option<(Column, usize)>>,
    /// Pictures that are asked for now, from the first of their places on.
    block: (usize, Vec<Vec<ByteArray>>),
}

impl Table {
    /// Reads captions, file by file.
    ///
    /// # Errors
    /// [`DataError::PictureSet`] for a file that is no parquet or lacks a column; [`DataError::NoCaption`].
    pub fn list(files: Vec<PathBuf>, caption_key: Option<&str>) -> Result<(Listing, Self), DataError> {
        let (mut listing, mut firsts, mut without) = (Listing::default(), vec![0], Vec::new());
        for path in &files {
            images(path)?;
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            let mut captions = captions_column(path, caption_key)?;
            let mut row = 0;
            loop {
                let rows = captions.read(CAPTIONS_AT_ONCE).map_err(refused(path, row))?;
                if rows.is_empty() {
                    break;
                }
                for texts in rows {
                    let name = format!("{file}, row {row}");
                    let captions: Vec<String> = texts.iter().filter_map(caption).collect();
                    if captions.is_empty() || captions.len() < texts.len() {
                        without.push(name.clone());
                    }
                    listing.pictures.push(Listed { name, captions });
                    row += 1;
                }
            }
            firsts.push(listing.pictures.len());
        }
        match without.first() {
            Some(first) => Err(DataError::NoCaption { count: without.len(), first: first.clone(), advice: ADVICE }),
            None => Ok((listing, Table { files, firsts, next: Mutex::default(), block: (0, Vec::new()) })),
        }
    }

    /// The pictures from a place on: as many as asked for, or to the end of its file.
    fn read(&mut self, place: usize, most: usize) -> Result<Vec<Vec<ByteArray>>, DataError> {
        let file = self.firsts.partition_point(|first| *first <= place) - 1;
        let (path, row) = (&self.files[file], place - self.firsts[file]);
        let next = self.next.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut column = match next.take() {
            // A file begins with a column of its own.
            Some((column, at)) if at == place && row > 0 => column,
            _ => {
                let mut column = images(path)?;
                column.skip(row).map_err(refused(path, row))?;
                column
            }
        };
        let rows = most.min(self.firsts[file + 1] - place);
        let mut found = column.read(rows).map_err(refused(path, row))?;
        // Columns of different lengths: the pictures that are missing are told one by one.
        found.resize(rows, Vec::new());
        *next = Some((column, place + rows));
        Ok(found)
    }
}

impl Origin for Table {
    fn prepare(&mut self, block: Range<usize>) -> Result<(), DataError> {
        let (mut place, mut pictures) = (block.start, Vec::new());
        self.block = (block.start, Vec::new());
        while place < block.end {
            let found = self.read(place, block.end - place)?;
            place += found.len();
            pictures.extend(found);
        }
        self.block.1 = pictures;
        Ok(())
    }

    fn bytes(&self, place: usize, _picture: &Listed) -> Result<Cow<'_, [u8]>, PictureFault> {
        let (first, pictures) = &self.block;
        let picture = pictures.get(place - first).and_then(|values| values.first());
        Ok(picture.ok_or(PictureFault::NoBytes)?.data().into())
    }
}

/// The pictures of a file: `image.bytes`, or `image` where it holds the bytes itself.
fn images(path: &Path) -> Result<Column, DataError> {
    let column = Column::open(path, |parts| match parts {
        [image] => image == IMAGE,
        [image, bytes] => image == IMAGE && bytes == "bytes",
        _ => false,
    });
    column.map_err(refused(path, 0))?.ok_or_else(|| missing(path, &format!("column '{IMAGE}' of bytes"), ""))
}

fn captions_column(path: &Path, caption_key: Option<&str>) -> Result<Column, DataError> {
    let keys: &[&str] = caption_key.as_ref().map_or(&texts::CAPTION_KEYS, std::slice::from_ref);
    for key in keys {
        // A list's texts are below it: `text.list.element`.
        let column = Column::open(path, |parts| parts.first().is_some_and(|part| part == key));
        if let Some(column) = column.map_err(refused(path, 0))? {
            return Ok(column);
        }
    }
    let what = format!("column '{}' of texts", keys.join("' or '"));
    Err(missing(path, &what, "; name the one of captions by --caption-key"))
}

fn caption(text: &ByteArray) -> Option<String> {
    texts::trimmed(&String::from_utf8_lossy(text.data()))
}

fn missing(path: &Path, what: &str, advice: &str) -> DataError {
    let columns = names(path).unwrap_or_default().join(", ");
    let reason = format!("there is no {what} (its columns: {columns}){advice}");
    DataError::PictureSet { path: path.to_owned(), within: Within::All, reason }
}

fn refused(path: &Path, row: usize) -> impl FnOnce(ParquetError) -> DataError {
    let within = if row > 0 { Within::Row(row) } else { Within::All };
    let path = path.to_owned();
    move |error| DataError::PictureSet { path, within, reason: format!("it cannot be read as a parquet file: {error}") }
}
