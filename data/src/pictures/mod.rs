//! Pictures with captions: files in, squares of one resolution out.

mod decode;
mod fault;
mod folder;
mod import;
mod jpeg;
mod spool;
mod square;

pub use fault::PictureFault;
pub use import::{ImportedPictures, PictureOptions, PictureProgress, import_pictures};
pub use square::Filter;
