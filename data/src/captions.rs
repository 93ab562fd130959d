//! Captions of images: one text with offsets, since HDF5 spends 36 bytes on every string of variable length.

use hdf5_metno::File;

use crate::{
    DataError, Permutation, Visit,
    counter_bits::{self, Stream},
    stored::write_packed,
};

/// UTF-8 of all captions, one after the other, u8 `[bytes]`, gzipped.
pub(crate) const CAPTIONS: &str = "captions";
/// Where each caption begins and the last one ends, u64 `[captions + 1]`.
pub(crate) const CAPTION_OFFSETS: &str = "caption_offsets";
/// Each image's first caption and the end of the last one's, u64 `[n + 1]`.
pub(crate) const IMAGE_CAPTIONS: &str = "image_captions";

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
        (self.first[image]..self.first[image + 1]).map(|caption| self.get(caption).to_owned()).collect()
    }

    /// All captions, image by image.
    pub fn iter(&self) -> impl Iterator<Item = &str> + Send {
        (0..self.len() as u64).map(|caption| self.get(caption))
    }

    /// The caption that an image has on a visit, none if it has no captions: each of them once in as many epochs, in an
    /// order of their own.
    pub fn of_visit(&self, image: usize, visit: Visit) -> Option<&str> {
        let (first, end) = (self.first[image], self.first[image + 1]);
        let count = (end - first).max(1);
        let seed = counter_bits::bits(visit.seed, Stream::Caption, visit.index);
        let place = Permutation::new(count, seed, visit.epoch / count).apply(visit.epoch % count);
        Some(first + place).filter(|caption| *caption < end).map(|caption| self.get(caption))
    }

    fn get(&self, caption: u64) -> &str {
        let [from, to] = [caption, caption + 1].map(|bound| self.offsets[bound as usize] as usize);
        &self.text[from..to]
    }

    pub fn write(&self, file: &File) -> hdf5_metno::Result<()> {
        write_packed(file, CAPTIONS, self.text.as_bytes())?;
        write_packed(file, CAPTION_OFFSETS, &self.offsets)?;
        write_packed(file, IMAGE_CAPTIONS, &self.first).map(drop)
    }
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
        assert_eq!(captions.iter().collect::<Vec<_>>(), ["Bär", "a bear", "猫"]);
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

    #[test]
    fn visits_take_each_caption_once_in_as_many_epochs() {
        let names = |count| (0..count).map(|n| format!("caption {n}")).collect::<Vec<_>>();
        let images: Vec<Vec<String>> = (0..100).map(|image| names(1 + image % 4)).collect();
        let captions = Captions::new(images.iter().map(Vec::as_slice));
        let drawn = |seed, index: u64, epoch| captions.of_visit(index as usize, Visit { index, epoch, seed }).unwrap();
        let mut first = [0; 4];
        for index in (3..100).step_by(4) {
            for cycle in [0, 4] {
                let mut all: Vec<&str> = (cycle..cycle + 4).map(|epoch| drawn(1, index, epoch)).collect();
                first[all[0][8..].parse::<usize>().unwrap()] += 1;
                all.sort_unstable();
                assert_eq!(all, ["caption 0", "caption 1", "caption 2", "caption 3"]);
            }
        }
        assert!(first.iter().all(|count| *count > 4), "{first:?}");
        assert!((3..100).step_by(4).any(|index| drawn(1, index, 0) != drawn(2, index, 0)), "the seed matters");
        let none = Captions::new([&[][..], &["x".to_owned()][..]]);
        assert_eq!(none.of_visit(0, Visit::first(0)), None);
        assert_eq!(none.of_visit(1, Visit::first(1)), Some("x"));
    }
}
