//! Pictures with captions: files in, squares of one resolution out.

mod decode;
mod fault;
mod folder;
mod import;
mod jpeg;
mod listing;
mod parquet_column;
mod shards;
mod source;
mod spool;
mod square;
mod table;
mod texts;

pub use fault::{PictureFault, Within};
pub use import::{ImportedPictures, PictureOptions, PictureProgress, import_pictures};
pub use square::Filter;
