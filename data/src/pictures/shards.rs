//! WebDataset's shards: tar files whose members belong together by their names up to the first dot of the base name:
//! a picture with `.txt` (a caption per line) or `.json` (an object with the caption).
//!
//! Listing reads headers and captions only and notes where pictures lie, so that the import reads them from there.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map::Entry},
    fs::File,
    io::{self, Read, Seek},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use tar::Archive;

use super::{
    fault::{PictureFault, Within},
    listing::{ENDINGS, Listed, Listing, Origin},
    texts,
};
use crate::{DataError, error::io_error};

/// Members are padded to whole blocks; a block of zeros ends the file.
const BLOCK: u64 = 512;
/// A longer text is no caption.
const MOST_TEXT: u64 = 1 << 20;
const ADVICE: &str = "put a KEY.txt or KEY.json (with 'text' or 'caption', or name its key by --caption-key) beside each \
                      KEY.jpg in the tar file";

/// Where pictures lie.
#[derive(Debug)]
pub(crate) struct Shards {
    files: Vec<PathBuf>,
    spans: Vec<Span>,
}

/// A picture's place in a shard.
#[derive(Clone, Copy, Debug)]
struct Span {
    file: usize,
    offset: u64,
    length: u64,
}

/// The members of one key.
#[derive(Debug, Default)]
struct Sample {
    picture: Option<(String, Span)>,
    /// Of the `.txt`, else of the `.json`.
    captions: Vec<String>,
}

impl Shards {
    /// Finds pictures and captions, shard by shard.
    ///
    /// # Errors
    /// [`DataError::PictureSet`] for a shard that is cut short or no tar, and for members that cannot be used;
    /// [`DataError::NoCaption`], [`DataError::Io`].
    pub fn list(files: Vec<PathBuf>, caption_key: Option<&str>) -> Result<(Listing, Self), DataError> {
        let (mut listing, mut spans, mut without) = (Listing::default(), Vec::new(), Vec::new());
        for (file, path) in files.iter().enumerate() {
            let shard = path.file_name().unwrap_or_default().to_string_lossy();
            let (samples, is_whole) = samples(path, file, caption_key)?;
            if !is_whole {
                listing
                    .notes
                    .push(format!("'{}' has no end mark: was the program that wrote it stopped?", path.display()));
            }
            for (picture, captions) in samples.into_iter().filter_map(|sample| Some((sample.picture?, sample.captions)))
            {
                let (member, span) = picture;
                let name = format!("{shard}/{member}");
                if captions.is_empty() {
                    without.push(name.clone());
                }
                listing.pictures.push(Listed { name, captions });
                spans.push(span);
            }
        }
        match without.first() {
            Some(first) => Err(DataError::NoCaption { count: without.len(), first: first.clone(), advice: ADVICE }),
            None => Ok((listing, Shards { files, spans })),
        }
    }
}

impl Origin for Shards {
    fn bytes(&self, place: usize, _picture: &Listed) -> Result<Cow<'_, [u8]>, PictureFault> {
        let Span { file, offset, length } = self.spans[place];
        let mut bytes = vec![0; length as usize];
        File::open(&self.files[file])?.read_exact_at(&mut bytes, offset)?;
        Ok(bytes.into())
    }
}

/// The samples of a shard in the order of their first members, and whether it has its end mark.
fn samples(path: &Path, file: usize, caption_key: Option<&str>) -> Result<(Vec<Sample>, bool), DataError> {
    let refused = |reason: String| DataError::PictureSet { path: path.to_owned(), within: Within::All, reason };
    let opened = open(path).map_err(io_error("open", path))?;
    let length = opened.metadata().map_err(io_error("read", path))?.len();
    let mut archive = Archive::new(opened);
    let (mut samples, mut places, mut end) = (Vec::<Sample>::new(), HashMap::new(), 0);
    for entry in archive.entries_with_seek().map_err(|error| refused(unreadable(&error)))? {
        let mut entry = entry.map_err(|error| match end > 0 && length % BLOCK > 0 {
            true => refused("it is cut short: fetch it again".to_owned()),
            false => refused(unreadable(&error)),
        })?;
        let (offset, size) = (entry.raw_file_position(), entry.size());
        end = (offset + size).next_multiple_of(BLOCK);
        let member = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if offset + size > length {
            return Err(refused(format!("it is cut short in the member '{member}': fetch it again")));
        }
        let Some((key, ending)) = parts(&member).filter(|_| entry.header().entry_type().is_file()) else { continue };
        let place = match places.entry(key.to_owned()) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                samples.push(Sample::default());
                *new.insert(samples.len() - 1)
            }
        };
        let span = Span { file, offset, length: size };
        let added = add(&mut samples[place], &member, &ending, span, &mut entry, caption_key);
        added.map_err(|reason| DataError::PictureSet {
            path: path.to_owned(),
            within: Within::Member(member.clone()),
            reason,
        })?;
    }
    Ok((samples, length >= end + BLOCK))
}

/// Takes a member for what its name says.
fn add(
    sample: &mut Sample,
    member: &str,
    ending: &str,
    span: Span,
    content: &mut impl Read,
    caption_key: Option<&str>,
) -> Result<(), String> {
    if ENDINGS.contains(&ending) {
        return match sample.picture.replace((member.to_owned(), span)) {
            Some((other, _)) => Err(format!("'{other}' is a picture of the same name up to the first dot")),
            None => Ok(()),
        };
    }
    if !["txt", "json"].contains(&ending) {
        return Ok(());
    }
    if span.length > MOST_TEXT {
        return Err(format!("it has {} bytes; captions have at most {MOST_TEXT}", span.length));
    }
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    match ending {
        // The text counts, where there is one too.
        "txt" => match texts::of_lines(&bytes) {
            empty if empty.is_empty() => {}
            captions => sample.captions = captions,
        },
        _ if sample.captions.is_empty() => {
            let object = texts::json_object(&String::from_utf8_lossy(&bytes))?;
            sample.captions = texts::of_object(&object, caption_key)?;
        }
        _ => {}
    }
    Ok(())
}

/// Key and lower-case ending of a member; none for hidden files, as macOS adds them.
fn parts(member: &str) -> Option<(&str, String)> {
    let base = member.rfind('/').map_or(0, |slash| slash + 1);
    let dot = member[base..].find('.').filter(|dot| *dot > 0)?;
    Some((&member[..base + dot], member[base + dot + 1..].to_lowercase()))
}

/// Opens a file; one that is gzipped is told.
fn open(path: &Path) -> io::Result<File> {
    let (mut file, mut magic) = (File::open(path)?, [0; 2]);
    let is_gzip = file.read(&mut magic)? == magic.len() && magic == [0x1f, 0x8b];
    file.rewind()?;
    match is_gzip {
        true => Err(io::Error::other("it is gzipped; unpack it first: gunzip --suffix .tar")),
        false => Ok(file),
    }
}

fn unreadable(error: &io::Error) -> String {
    format!("it cannot be read as a tar file: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_end_at_the_first_dot_of_the_base_name() {
        let of = |member| parts(member).map(|(key, ending)| (key.to_owned(), ending));
        assert_eq!(of("a.b/1.5_cat.JPG"), Some(("a.b/1".into(), "5_cat.jpg".into())));
        assert_eq!(of("./0001.jpg"), Some(("./0001".into(), "jpg".into())));
        assert_eq!([of("a/._1.jpg"), of("a/readme"), of("a.b/")], [None, None, None]);
    }
}
