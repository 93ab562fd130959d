//! Pictures with captions: files in, shapes of one resolution out.

mod decode;
mod fault;
mod fit;
mod folder;
mod import;
mod jpeg;
mod listing;
mod parquet_column;
mod shapes;
mod shards;
mod source;
mod spool;
mod table;
mod texts;

pub use fault::{MOST_ASPECT, PictureFault, Within};
pub use fit::Filter;
pub use import::{ImportedPictures, PictureOptions, PictureProgress, import_pictures};
pub use shapes::Shapes;
