//! Datasets: the HDF5 schema and its importer, and everything between a file and a training step's batch.
//!
//! A [`Source`] gives samples by index, as named [`Fields`]: a [`Dataset`] file, a [`Toy2d`] point set or [`Synthetic`]
//! noise. A [`BatchPlan`] says which positions of the global batch each rank, micro-batch and device takes. A [`Loader`]
//! joins the two into batches that are a pure function of (seed, step, rank, world size), so that resuming needs no
//! saved position; a [`PrefetchLoader`] makes the same batches ahead of time in the background.

#[cfg(target_endian = "big")]
compile_error!("files and checksums are little-endian, and elements are taken as bytes without a swap");

mod batch_plan;
mod buckets;
mod captions;
mod counter_bits;
mod dataset;
mod error;
mod hdf5_file;
mod idx;
mod image_arrays;
mod images;
mod import;
mod info;
mod labels;
mod loader;
mod permutation;
mod pictures;
mod prefetch;
mod prompts;
mod reader;
mod schema;
mod source;
mod stored;
mod synthetic;
mod toy_2d;
mod write;

pub use batch_plan::{BatchPlan, Shard};
pub use buckets::{Bucket, Buckets};
pub use dataset::{DEFAULT_CACHE_BYTES, Dataset, Verify};
pub use error::DataError;
pub use hdf5_file::{Hdf5Arrays, ImageLayout, import_hdf5};
pub use import::{FASHION_MNIST_CLASSES, import_idx};
pub use info::{BucketInfo, Checksums, DatasetInfo};
pub use loader::{Batch, Loader, StepBatches};
pub use permutation::Permutation;
pub use pictures::{
    Filter, ImportedPictures, MOST_ASPECT, PictureFault, PictureOptions, PictureProgress, Shapes, Within,
    import_pictures,
};
pub use prefetch::PrefetchLoader;
pub use prompts::{CaptionLengths, set_tokenizer};
pub use schema::{DatasetMetadata, SCHEMA_NAME, SCHEMA_VERSION};
pub use source::{
    Field, Fields, IMAGES, LABELS, POOLED_TEXT, Source, TEXT, TEXT_MASK, TOKENS, TextShape, Visit, byte_to_unit,
    to_unit_range,
};
pub use synthetic::Synthetic;
pub use toy_2d::{Toy2d, ToyKind};
pub use twinflow_hdf5::version as hdf5_version;
pub use write::write_dataset;
