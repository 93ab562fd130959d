//! The import of pictures: list, decode on all cores, write.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use rayon::prelude::*;
use twinflow_array::{DType, TensorType};

use super::{
    decode::decode,
    fault::PictureFault,
    fit::{Filter, fit},
    listing::{Listed, Listing, Origin},
    shapes::Shapes,
    source,
    spool::Spool,
};
use crate::{
    DataError, DatasetInfo, DatasetMetadata,
    captions::Captions,
    image_arrays::array_name,
    write::{ImagesInFile, write_captioned},
};

/// Pixels of a block, of which two are in memory: enough for the cores, small beside a picture's own pixels.
const BLOCK_BYTES: usize = 32 << 20;
const MOST_IN_BLOCK: usize = 64;

/// How pictures become samples.
#[derive(Clone, Debug)]
pub struct PictureOptions {
    /// The shapes that they get, each the one that shows most of it.
    pub shapes: Shapes,
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
    /// Width and height of each shape, and the pictures that it got.
    pub shapes: Vec<([u32; 2], usize)>,
}

/// Imports pictures with their captions into a dataset file of RGB bytes.
///
/// `from` is a folder with captions in `metadata.jsonl` or in `NAME.txt` beside each picture; or WebDataset's tar files,
/// or parquet files with the columns `image` and `text`, or a folder of such. Memory holds a block of pictures and the
/// text of all captions. `target` changes only when everything is done; until then the pixels are in the folder
/// `TARGET.importing`, and the same call goes on from there after an interruption. `on_progress` is called after every
/// block.
///
/// # Errors
/// [`DataError::NotPictures`], [`DataError::PictureSet`], [`DataError::NoCaption`] and [`DataError::NoPictures`] for a
/// set that makes no dataset, before any picture is opened; [`DataError::Picture`] for the first that cannot be used;
/// [`DataError::ImportRuns`]; [`DataError::Io`] and [`DataError::Hdf5`] if the disk or the library refuses.
pub fn import_pictures(
    from: &[PathBuf],
    target: &Path,
    options: &PictureOptions,
    metadata: &DatasetMetadata,
    on_progress: &mut dyn FnMut(PictureProgress),
) -> Result<ImportedPictures, DataError> {
    let (Listing { pictures, notes }, mut origin) = source::open(from, options.caption_key.as_deref())?;
    let mut spool = Spool::open(target, key(from, &pictures, options), options.shapes.all())?;
    fill(&mut spool, &mut *origin, &pictures, options, on_progress)?;
    let shapes: Vec<_> =
        options.shapes.all().iter().enumerate().map(|(i, size)| (*size, spool.of_shape(i).count())).collect();
    if shapes.iter().all(|(_, count)| *count == 0) {
        spool.remove()?;
        return Err(DataError::NoPictures { path: from.first().cloned().unwrap_or_default() });
    }
    let info = write(&spool, &pictures, &shapes, target, metadata)?;
    let skipped = spool.skipped().iter().map(|(_, reason)| reason.clone()).collect();
    spool.remove()?;
    Ok(ImportedPictures { info, skipped, notes, shapes })
}

/// Writes the dataset of what the spool holds.
fn write(
    spool: &Spool,
    pictures: &[Listed],
    shapes: &[([u32; 2], usize)],
    target: &Path,
    metadata: &DatasetMetadata,
) -> Result<DatasetInfo, DataError> {
    let ty = |&([width, height], count): &([u32; 2], usize)| {
        TensorType::new(DType::U8, [count, height as usize, width as usize, 3])
    };
    let mut arrays: Vec<(usize, TensorType)> = shapes.iter().map(ty).enumerate().collect();
    arrays.retain(|(_, ty)| ty.shape[0] > 0);
    // Samples are in the order of the arrays' names.
    arrays.sort_by_key(|(_, ty)| array_name(&ty.shape));
    let places = arrays.iter().flat_map(|(shape, _)| spool.of_shape(*shape));
    let captions = Captions::new(places.map(|place| pictures[place].captions.as_slice()));
    let images = arrays.into_iter().map(|(shape, ty)| {
        let checksum = spool.checksum(shape, ty.bytes() / ty.shape[0]);
        ImagesInFile { ty, pixels: spool.pixels(shape), checksum }
    });
    write_captioned(target, &images.collect::<Vec<_>>(), &captions, metadata)
}

/// A picture's pixels, the number of their shape, and their CRC-32; or why there are none.
type Made = Result<(usize, Vec<u8>, u32), PictureFault>;

/// Makes the pixels that are still missing, block by block, on all cores, while the block before is written.
fn fill(
    spool: &mut Spool,
    origin: &mut dyn Origin,
    pictures: &[Listed],
    options: &PictureOptions,
    on_progress: &mut dyn FnMut(PictureProgress),
) -> Result<(), DataError> {
    let largest = options.shapes.all().iter().map(|[width, height]| 3 * *width as usize * *height as usize).max();
    let block = (BLOCK_BYTES / largest.unwrap_or(1)).clamp(2, MOST_IN_BLOCK);
    let (mut next, mut made): (usize, Vec<Made>) = (spool.done(), Vec::new());
    while spool.done() < pictures.len() {
        let places = next..pictures.len().min(next + block);
        next = places.end;
        origin.prepare(places.clone())?;
        let (origin, before) = (&*origin, std::mem::take(&mut made));
        let keep = || keep(spool, before, pictures, options.skip_damaged);
        let (kept, new) = rayon::join(keep, || make(origin, places, pictures, options));
        kept?;
        made = new;
        on_progress(PictureProgress { done: spool.done(), total: pictures.len(), skipped: spool.skipped().len() });
        spool.save_now_and_then()?;
    }
    // The pixels need not be on the disk now: they go into the target.
    spool.await_note()
}

fn make(origin: &dyn Origin, places: Range<usize>, pictures: &[Listed], options: &PictureOptions) -> Vec<Made> {
    let one = |place: usize| {
        let picture = decode(&origin.bytes(place, &pictures[place])?, options.background)?;
        let shape = options.shapes.best(picture.width(), picture.height())?;
        let pixels = fit(picture, options.shapes.all()[shape], options.filter);
        let checksum = crc32fast::hash(&pixels);
        Ok((shape, pixels, checksum))
    };
    places.into_par_iter().map(one).collect()
}

fn keep(spool: &mut Spool, made: Vec<Made>, pictures: &[Listed], skip_damaged: bool) -> Result<(), DataError> {
    for made in made {
        let name = &pictures[spool.done()].name;
        match made {
            Ok((shape, pixels, checksum)) => spool.keep(shape, &pixels, checksum)?,
            Err(fault) if skip_damaged => spool.skip(format!("'{name}': {fault}"))?,
            Err(fault) => {
                spool.save()?;
                return Err(DataError::Picture { name: name.clone(), fault });
            }
        }
    }
    Ok(())
}

/// CRC-32 of all that the pixels depend on, except the files' bytes.
fn key(from: &[PathBuf], pictures: &[Listed], options: &PictureOptions) -> u32 {
    let PictureOptions { shapes, filter, background, .. } = options;
    let from: Vec<_> = from.iter().map(|path| fs::canonicalize(path).unwrap_or_else(|_| path.clone())).collect();
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(format!("{shapes:?} {filter:?} {background:?} {from:?}").as_bytes());
    for Listed { name, captions } in pictures {
        hasher.update(format!("{name:?} {captions:?}").as_bytes());
    }
    hasher.finalize()
}
