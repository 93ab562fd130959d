//! Version 3 of the dataset schema. docs/data-format.md says the same for people with h5py.
//!
//! | object | kind | content |
//! |---|---|---|
//! | `images` | u8 or f32 `[n, height, width, channels]` (gray: `[n, height, width]`) | pixels |
//! | `images/HEIGHTxWIDTH` | as `images`, in its place | an array for each shape of images; samples are in the order of the arrays' names |
//! | `labels` | numbers `[n]` (or `[n, 1]` ..), or one-hot `[n, classes]` | classes, 0 to `classes - 1` |
//! | `captions`, `caption_offsets`, `image_captions` | u8 `[bytes]`, u64 `[captions + 1]`, u64 `[n + 1]` | UTF-8 of all captions; where each begins, and the end; each image's first caption, and their number |
//! | `checksum` on each of them | u32 attribute | CRC-32 (IEEE 802.3) of little-endian bytes, row-major; of the labels as i32 |
//! | `schema`, `schema_version` | string, u32 attributes of the file | `twinflow-dataset`, 3 with images of several shapes, else 2 with captions, 1 without |
//! | `name`, `source` | string attributes of the file | the set's name, and where its data came from |
//! | `classes`, `class_names` | u32, string (JSON list, empty if unnamed) attributes of the file | |
//! | `value_range` | f64 `[2]` attribute of the file | the values that stand for black and white |
//!
//! A file with captions may lack labels: it has no classes then, and every label is 0, which stands for "no class" where
//! there are none.
//!
//! Attributes may be missing in files that other programs wrote; ours have all. Ours are chunked along n, or contiguous where pictures were imported; labels are i32.
//! Strings are UTF-8 of fixed length (readers take variable length too, which h5py writes), and the format is that of
//! HDF5 1.10: so the library keeps a checksum on every piece of the file's own structure, and damage there is an error
//! instead of whatever an unchecked offset leads to. Older formats and variable-length strings have none.
//!
//! Chunks are uncompressed because gzip unpacks slower than a step trains, and hold whole samples, so that the rows of
//! a random batch are read directly.

use hdf5_metno::FileBuilder;

/// The value of the file's attribute `schema`.
pub const SCHEMA_NAME: &str = "twinflow-dataset";
/// The newest version that is read.
pub const SCHEMA_VERSION: u32 = 3;

/// The version of a file with or without captions and with so many arrays of images: the oldest that has such, so that
/// older programs read what they can.
pub(crate) fn schema_version(has_captions: bool, image_arrays: usize) -> u32 {
    match image_arrays {
        ..=1 => 1 + u32::from(has_captions),
        _ => SCHEMA_VERSION,
    }
}

/// The values that stand for black and white in bytes.
pub(crate) const BYTE_RANGE: [f64; 2] = [0.0, 255.0];

/// More classes than this are taken for a mistake: tables of one entry per class must fit in memory.
pub(crate) const MAX_CLASSES: usize = 1 << 20;

/// What a dataset says about itself beside its shape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatasetMetadata {
    /// Such as `fashion-mnist-train`.
    pub name: String,
    /// Where the data came from, for people.
    pub source: String,
    /// Labels are below it; 0 for captioned images without labels.
    pub classes: usize,
    /// One name per class, or none at all.
    pub class_names: Vec<String>,
}

impl DatasetMetadata {
    /// Without class names.
    pub fn new(name: impl Into<String>, source: impl Into<String>, classes: usize) -> Self {
        DatasetMetadata { name: name.into(), source: source.into(), classes, class_names: Vec::new() }
    }

    /// Sets one name per class.
    #[must_use]
    pub fn with_class_names<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.class_names = names.into_iter().map(Into::into).collect();
        self
    }
}

/// Options for every dataset file: no locks, the format of 1.10, and no chunk cache: without one, uncompressed rows are
/// read directly instead of with the whole chunk around them.
pub(crate) fn file_options() -> FileBuilder {
    let mut options = twinflow_hdf5::without_locks();
    options.with_fapl(|access| access.chunk_cache(1, 0, 1.0).libver_v110());
    options
}
