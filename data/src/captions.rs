//! Captions of images: one text with offsets, since HDF5 spends 36 bytes on every string of variable length.

use hdf5_metno::{File, H5Type};
use twinflow_array::Element;

use crate::{DataError, stored::write_checksum};

/// UTF-8 of all captions, one after the other, u8 `[bytes]`, gzipped.
pub(crate) const CAPTIONS: &str = "captions";
/// Where each caption begins and the last one ends, u64 `[captions + 1]`.
pub(crate) const CAPTION_OFFSETS: &str = "caption_offsets";
/// Each image's first caption and the end of the last one's, u64 `[n + 1]`.
pub(crate) const IMAGE_CAPTIONS: &str = "image_captions";

/// Elements per chunk: gzip needs some to find repetitions in.
const CHUNK: usize = 1 << 16;

/// One or more captions for each image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Captions {
    text: String,
    offsets: Vec<u64>,
    first: Vec<u64>,
}

impl Captions {
    /// The captions of each image, in its order.
    pub fn new<'a>(images: impl IntoIterator<Item = &'a [String]>) -> Self {
        let mut captions = Captions { text: String::new(), offsets: vec![0], first: vec![0] };
        for image in images {
            for caption in image {
                captions.text.push_str(caption);
                captions.offsets.push(captions.text.len() as u64);
            }
            captions.first.push(captions.offsets.len() as u64 - 1);
        }
        captions
    }

    /// Puts stored arrays together.
    ///
    /// # Errors
    /// [`DataError::CaptionOffsets`] for offsets that do not ascend from 0 to the end, or split a character.
    pub fn from_parts(text: Vec<u8>, offsets: Vec<u64>, first: Vec<u64>) -> Result<Self, DataError> {
        let text = String::from_utf8(text).map_err(|_| DataError::CaptionOffsets { name: CAPTIONS })?;
        let ascend = |offsets: &[u64], end: usize| {
            offsets.first() == Some(&0) && offsets.last() == Some(&(end as u64)) && offsets.is_sorted()
        };
        if !ascend(&offsets, text.len()) || offsets.iter().any(|offset| !text.is_char_boundary(*offset as usize)) {
            return Err(DataError::CaptionOffsets { name: CAPTION_OFFSETS });
        }
        match ascend(&first, offsets.len() - 1) {
            true => Ok(Captions { text, offsets, first }),
            false => Err(DataError::CaptionOffsets { name: IMAGE_CAPTIONS }),
        }
    }

    /// Number of captions of all images.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.first.len() - 1
    }

    /// The captions of an image below [`Captions::images`].
    pub fn of(&self, image: usize) -> Vec<String> {
        let bounds = &self.offsets[self.first[image] as usize..=self.first[image + 1] as usize];
        bounds.windows(2).map(|bounds| self.text[bounds[0] as usize..bounds[1] as usize].to_owned()).collect()
    }

    pub fn write(&self, file: &File) -> hdf5_metno::Result<()> {
        write_array(file, CAPTIONS, self.text.as_bytes())?;
        write_array(file, CAPTION_OFFSETS, &self.offsets)?;
        write_array(file, IMAGE_CAPTIONS, &self.first)
    }
}

fn write_array<T: Element + H5Type>(file: &File, name: &str, elements: &[T]) -> hdf5_metno::Result<()> {
    let builder = file.new_dataset::<T>().chunk(elements.len().clamp(1, CHUNK));
    // A library that was built without zlib stores them as they are.
    let builder = if hdf5_metno::filters::deflate_available() { builder.shuffle().deflate(6) } else { builder };
    let stored = builder.shape(elements.len()).create(name)?;
    stored.write_raw(elements)?;
    write_checksum(&stored, crc32fast::hash(bytemuck::cast_slice(elements)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_come_back_by_image_and_bad_offsets_are_told() {
        let images = [vec!["Bär".to_owned(), "a bear".to_owned()], vec!["猫".to_owned()]];
        let captions = Captions::new(images.iter().map(Vec::as_slice));
        assert_eq!((captions.len(), captions.images()), (3, 2));
        assert_eq!([captions.of(0), captions.of(1)], images);
        let parts = |offsets: &[u64], first: &[u64]| {
            let refused = Captions::from_parts("Bär".into(), offsets.to_vec(), first.to_vec());
            refused.map(|captions| captions.of(0)).map_err(|error| error.to_string())
        };
        assert_eq!(parts(&[0, 1, 4], &[0, 2]).unwrap(), ["B", "är"]);
        for offsets in [&[0, 2, 4][..], &[0, 5, 4], &[0, 3], &[]] {
            assert!(parts(offsets, &[0, 2]).unwrap_err().contains("'caption_offsets'"), "{offsets:?}");
        }
        assert!(parts(&[0, 4], &[0, 2]).unwrap_err().contains("'image_captions'"));
    }
}
