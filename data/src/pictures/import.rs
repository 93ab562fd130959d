//! The import of pictures: list, decode on all cores, write.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use rayon::prelude::*;
use twinflow_array::{DType, TensorType};

use super::{
    decode::decode,
    fault::PictureFault,
    listing::{Listed, Listing, Origin},
    source,
    spool::Spool,
    square::{Filter, square},
};
use crate::{
    DataError, Dataset, DatasetInfo, DatasetMetadata, Verify,
    captions::Captions,
    schema::BYTE_RANGE,
    write::{Annotations, write_blocks},
};

/// Squares held in memory at once: enough for the cores, small beside a picture's own pixels.
const BLOCK_BYTES: usize = 32 << 20;
const MOST_IN_BLOCK: usize = 64;

/// How pictures become squares.
#[derive(Clone, Debug)]
pub struct PictureOptions {
    /// Side of the squares, in pixels.
    pub resolution: u32,
    /// What resizes.
    pub filter: Filter,
    /// What shows through transparent pixels, as RGB.
    pub background: [u8; 3],
    /// Whether pictures that cannot be used are left out; else the first stops the import.
    pub skip_damaged: bool,
    /// The key of captions in JSON, or their column; else `text` or `caption`.
    pub caption_key: Option<String>,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say all")]
pub struct PictureProgress {
    pub done: usize,
    pub total: usize,
    pub skipped: usize,
}

/// A finished import.
#[derive(Clone, Debug)]
pub struct ImportedPictures {
    /// The dataset, read back whole.
    pub info: DatasetInfo,
    /// What was left out, and why.
    pub skipped: Vec<String>,
    /// What people should know about the set.
    pub notes: Vec<String>,
}

/// Imports pictures with their captions into a dataset file of squares, RGB bytes.
///
/// `from` is a folder with captions in `metadata.jsonl` or in `NAME.txt` beside each picture; or WebDataset's tar files,
/// or parquet files with the columns `image` and `text`, or a folder of such. Memory holds a block of squares and the text of all captions. `target` changes only when everything is done; until then the squares are in the folder
/// `TARGET.importing`, and the same call goes on from there after an interruption. `on_progress` is called after every
/// block.
///
/// # Errors
/// [`DataError::Zero`] for resolution 0; [`DataError::NotPictures`], [`DataError::PictureSet`],
/// [`DataError::NoCaption`] and [`DataError::NoPictures`] for a set that makes no dataset, before any picture is opened; [`DataError::Picture`]
/// for the first that cannot be used; [`DataError::ImportRuns`]; [`DataError::Io`] and [`DataError::Hdf5`] if the disk
/// or the library refuses.
pub fn import_pictures(
    from: &[PathBuf],
    target: &Path,
    options: &PictureOptions,
    metadata: &DatasetMetadata,
    on_progress: &mut dyn FnMut(PictureProgress),
) -> Result<ImportedPictures, DataError> {
    if options.resolution == 0 {
        return Err(DataError::Zero { what: "resolution" });
    }
    let (Listing { pictures, notes }, mut origin) = source::open(from, options.caption_key.as_deref())?;
    let side = options.resolution as usize;
    let mut spool = Spool::open(target, key(from, &pictures, options), 3 * side * side)?;
    fill(&mut spool, &mut *origin, &pictures, options, on_progress)?;
    let kept = kept(&pictures, spool.skipped());
    if kept.is_empty() {
        spool.remove()?;
        return Err(DataError::NoPictures { path: from.first().cloned().unwrap_or_default() });
    }
    let captions = Captions::new(kept.iter().map(|picture| picture.captions.as_slice()));
    let squares = spool.rewind()?;
    let next_rows = |_, rows: &mut [u8]| squares.read_exact(rows).map_err(|error| error.to_string().into());
    let images = TensorType::new(DType::U8, [kept.len(), side, side, 3]);
    write_blocks(target, &images, Annotations::Captions(&captions), metadata, BYTE_RANGE, next_rows)?;
    let info = Dataset::open(target, Verify::Yes)?.info();
    let skipped = spool.skipped().iter().map(|(_, reason)| reason.clone()).collect();
    spool.remove()?;
    Ok(ImportedPictures { info, skipped, notes })
}

/// Makes the squares that are still missing, block by block, each on all cores.
fn fill(
    spool: &mut Spool,
    origin: &mut dyn Origin,
    pictures: &[Listed],
    options: &PictureOptions,
    on_progress: &mut dyn FnMut(PictureProgress),
) -> Result<(), DataError> {
    let row_bytes = 3 * (options.resolution as usize).pow(2);
    let block = (BLOCK_BYTES / row_bytes).clamp(2, MOST_IN_BLOCK);
    while spool.done() < pictures.len() {
        let places = spool.done()..pictures.len().min(spool.done() + block);
        origin.prepare(places.clone())?;
        let origin = &*origin;
        let squares: Vec<Result<Vec<u8>, PictureFault>> = places
            .clone()
            .into_par_iter()
            .map(|place| {
                let bytes = origin.bytes(place, &pictures[place])?;
                Ok(square(decode(&bytes, options.background)?, options.resolution, options.filter))
            })
            .collect();
        for (picture, square) in pictures[places].iter().zip(squares) {
            match square {
                Ok(square) => spool.keep(&square)?,
                Err(fault) if options.skip_damaged => spool.skip(format!("'{}': {fault}", picture.name)),
                Err(fault) => {
                    spool.save()?;
                    return Err(DataError::Picture { name: picture.name.clone(), fault });
                }
            }
        }
        on_progress(PictureProgress { done: spool.done(), total: pictures.len(), skipped: spool.skipped().len() });
        spool.save_now_and_then()?;
    }
    // The squares need not be on the disk now: they go into the target.
    spool.await_note()
}

/// Pictures that were not left out.
fn kept<'a>(pictures: &'a [Listed], skipped: &[(usize, String)]) -> Vec<&'a Listed> {
    let mut skipped = skipped.iter().map(|(place, _)| *place).peekable();
    let is_kept = |(place, _): &(usize, &Listed)| skipped.next_if_eq(place).is_none();
    pictures.iter().enumerate().filter(is_kept).map(|(_, picture)| picture).collect()
}

/// CRC-32 of all that the squares depend on, except the files' bytes.
fn key(from: &[PathBuf], pictures: &[Listed], options: &PictureOptions) -> u32 {
    let PictureOptions { resolution, filter, background, .. } = options;
    let from: Vec<_> = from.iter().map(|path| fs::canonicalize(path).unwrap_or_else(|_| path.clone())).collect();
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(format!("{resolution} {filter:?} {background:?} {from:?}").as_bytes());
    for Listed { name, captions } in pictures {
        hasher.update(format!("{name:?} {captions:?}").as_bytes());
    }
    hasher.finalize()
}
