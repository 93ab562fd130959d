//! What an import starts from: pictures by name with their captions, and a way to their bytes.

use std::{borrow::Cow, ops::Range};

use super::fault::PictureFault;
use crate::DataError;

/// What a set holds.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub pictures: Vec<Listed>,
    /// What people should know about it.
    pub notes: Vec<String>,
}

/// A picture, by a name that people find it by.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub name: String,
    pub captions: Vec<String>,
}

/// Where the bytes of listed pictures are.
pub(crate) trait Origin: Sync {
    /// Told before the pictures of a block are asked for; blocks come in order.
    fn prepare(&mut self, _block: Range<usize>) -> Result<(), DataError> {
        Ok(())
    }

    /// The file of a picture, which is at `place` of the listing.
    fn bytes(&self, place: usize, picture: &Listed) -> Result<Cow<'_, [u8]>, PictureFault>;
}

/// Files that are taken for pictures, by the lower-case ending of their name.
pub(crate) const ENDINGS: [&str; 5] = ["png", "jpg", "jpeg", "webp", "gif"];
