//! Version 1 of the dataset schema.
//!
//! | object | kind | content |
//! |---|---|---|
//! | `images` | u8 or f32 `[n, height, width, channels]` | pixels; chunked along n, uncompressed |
//! | `labels` | i32 `[n]` | classes, 0 to `classes - 1` |
//! | `checksum` on each of both | u32 attribute | CRC-32 (IEEE 802.3) of its little-endian bytes, row-major |
//! | `schema`, `schema_version` | string, u32 attributes of the file | `twinflow-dataset`, 1 |
//! | `name`, `source` | string attributes of the file | the set's name, and where its data came from |
//! | `classes`, `class_names` | u32, string (JSON list, empty if unnamed) attributes of the file | |
//! | `value_range` | f64 `[2]` attribute of the file | `[0, 255]` for u8; least and greatest value for f32 |
//!
//! Strings are UTF-8 of fixed length (readers take variable length too, which h5py writes), and the format is that of
//! HDF5 1.10: so the library keeps a checksum on every piece of the file's own structure, and damage there is an error
//! instead of whatever an unchecked offset leads to. Older formats and variable-length strings have none.
//!
//! Chunks are uncompressed because gzip unpacks slower than a step trains, and hold whole samples, so that the rows of
//! a random batch are read directly.

use hdf5_metno::FileBuilder;

/// The value of the file's attribute `schema`.
pub const SCHEMA_NAME: &str = "twinflow-dataset";
/// The version written, and the newest that is read.
pub const SCHEMA_VERSION: u32 = 1;

/// Name of the images' dataset in the file.
pub(crate) const IMAGES: &str = "images";
/// Name of the labels' dataset in the file.
pub(crate) const LABELS: &str = "labels";

/// More classes than this are taken for damage: tables of one entry per class must fit in memory.
pub(crate) const MAX_CLASSES: usize = 1 << 20;

/// What a dataset says about itself beside its shape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Name, such as `fashion-mnist-train`.
    pub name: String,
    /// Where the data came from, for people.
    pub source: String,
    /// Number of classes; labels are below it.
    pub classes: usize,
    /// One name per class, or none at all.
    pub class_names: Vec<String>,
}

impl Metadata {
    /// Metadata without class names.
    pub fn new(name: impl Into<String>, source: impl Into<String>, classes: usize) -> Self {
        Metadata { name: name.into(), source: source.into(), classes, class_names: Vec::new() }
    }

    /// Sets one name per class.
    #[must_use]
    pub fn with_class_names<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.class_names = names.into_iter().map(Into::into).collect();
        self
    }
}

/// More bytes than this do not fit into one attribute's string.
pub(crate) const MAX_TEXT: usize = 60 << 10;

/// Options for every file of this crate.
///
/// No file locks: many jobs read one file, some network file systems refuse `flock` (NFS without lockd, Lustre without
/// `-o flock`), and a lock needs write permission on others. Readers need none, since a finished file never changes:
/// writers make a new one under a temporary name. No chunk cache either: without one, uncompressed rows are read
/// directly instead of with the whole chunk around them.
pub(crate) fn file_options() -> FileBuilder {
    let mut options = FileBuilder::new();
    options.with_fapl(|access| access.file_locking(false).chunk_cache(1, 0, 1.0).libver_v110());
    options
}

/// Version of the HDF5 library that is linked: major, minor, patch.
pub fn hdf5_version() -> (u8, u8, u8) {
    hdf5_metno::library_version()
}
