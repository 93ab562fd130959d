//! What can go wrong between a file and a batch.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use twinflow_array::TensorType;

/// Any failure of this crate. Messages say what is wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// There is no file at the path of a dataset.
    #[error("no dataset at '{}': make one with `twinflow-xla data import`, or correct the path", path.display())]
    Missing {
        /// The path asked for.
        path: PathBuf,
    },
    /// The operating system refused an operation on a file.
    #[error("cannot {action} '{}': {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The HDF5 library refused an operation: most often a truncated or damaged file.
    #[error("cannot {action} '{}' ({bytes} bytes): {source}; if it is damaged, import the dataset again", path.display())]
    Hdf5 {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// The library's answer.
        source: hdf5_metno::Error,
    },
    /// An HDF5 file with another content.
    #[error("'{}' is an HDF5 file but no dataset: its attribute 'schema' is {}, not '{expected}'", path.display(), quoted(found))]
    Schema {
        /// The file.
        path: PathBuf,
        /// The schema's name.
        expected: &'static str,
        /// The name found, if any.
        found: Option<String>,
    },
    /// A file of a later version of the schema.
    #[error("'{}' has schema version {found}; this program reads versions up to {supported}: use a newer program or import again", path.display())]
    SchemaVersion {
        /// The file.
        path: PathBuf,
        /// The version found.
        found: u32,
        /// The newest version known.
        supported: u32,
    },
    /// A dataset or attribute that does not follow the schema.
    #[error("in '{}', '{object}' is {found}; the schema asks for {expected}", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// The dataset or attribute.
        object: &'static str,
        /// What the schema asks for.
        expected: &'static str,
        /// What the file has.
        found: String,
    },
    /// Stored bytes are not those that were written.
    #[error("'{}' is damaged: dataset '{dataset}' has checksum {found:08x}, written as {expected:08x}; import it again", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The dataset in the file.
        dataset: &'static str,
        /// The checksum written.
        expected: u32,
        /// The checksum of the bytes read.
        found: u32,
    },
    /// An IDX file that starts with other bytes than it should.
    #[error("'{}' is no IDX file of {expected}: it starts with the bytes {found:02x?}", path.display())]
    IdxMagic {
        /// The file.
        path: PathBuf,
        /// What the file should hold, with its magic number.
        expected: &'static str,
        /// The first four bytes (after decompression).
        found: [u8; 4],
    },
    /// A file that ends too early or too late (bytes after decompression).
    #[error("'{}' has {}{found} bytes where its header asks for {expected}: {}", path.display(), more(*expected, *found), cut(*expected, *found))]
    IdxLength {
        /// The file.
        path: PathBuf,
        /// Bytes that header and dims ask for.
        expected: u64,
        /// Bytes found; one more than expected stands for any number more.
        found: u64,
    },
    /// IDX dims that no dataset can have.
    #[error("'{}' has dims {dims:?}: each must be at least 1 and their product fit in memory", path.display())]
    IdxDims {
        /// The file.
        path: PathBuf,
        /// The dims in its header.
        dims: Vec<u64>,
    },
    /// Images and labels of different number.
    #[error("{images} images but {labels} labels: they must be of the same split")]
    CountMismatch {
        /// Number of images.
        images: usize,
        /// Number of labels.
        labels: usize,
    },
    /// A label that names no class.
    #[error("label {label} at index {index} is out of range: there are {classes} classes, 0 to {}", classes.saturating_sub(1))]
    LabelRange {
        /// The sample.
        index: usize,
        /// Its label.
        label: i64,
        /// Number of classes.
        classes: usize,
    },
    /// A file whose parts do not fit each other.
    #[error("'{}' is no sound dataset: {source}; import it again", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        source: Box<DataError>,
    },
    /// A number of classes that no dataset has.
    #[error("{classes} classes; there must be at least 1 and at most {limit}")]
    Classes {
        /// The number given.
        classes: usize,
        /// The largest number taken.
        limit: usize,
    },
    /// Class names that do not fit the number of classes.
    #[error("{names} class names for {classes} classes: give one name per class, or none")]
    ClassNames {
        /// Number of names.
        names: usize,
        /// Number of classes.
        classes: usize,
    },
    /// A text too long for an attribute.
    #[error("{attribute} of {bytes} bytes; at most {limit} fit: shorten or leave them out")]
    TextLength {
        /// Which text.
        attribute: &'static str,
        /// Its length.
        bytes: usize,
        /// The longest taken.
        limit: usize,
    },
    /// Images that cannot be stored.
    #[error("images are {found}; they must be u8 or f32 of shape [n, height, width, channels], no dim 0")]
    ImageType {
        /// The type given.
        found: TensorType,
    },
    /// NaN or infinity among f32 images.
    #[error("image {index} holds a value that is not finite ({value})")]
    NotFinite {
        /// The image.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A part of the global batch that cannot be dealt out evenly.
    #[error(
        "part {part} of the batch has {size} samples, which {ranks} ranks x {micro_batches} micro-batches x {devices} \
         devices cannot share equally: make it a multiple of {}", ranks.saturating_mul(*micro_batches).saturating_mul(*devices)
    )]
    UnevenPart {
        /// Position of the part in the list.
        part: usize,
        /// Its samples.
        size: usize,
        /// Number of ranks.
        ranks: usize,
        /// Micro-batches per step.
        micro_batches: usize,
        /// Devices per rank.
        devices: usize,
    },
    /// A batch or a world of nothing.
    #[error("{what} is 0; it must be at least 1")]
    Zero {
        /// Which number.
        what: &'static str,
    },
    /// A rank outside the world.
    #[error("rank {rank} of a world of {ranks}: ranks count from 0")]
    Rank {
        /// The rank.
        rank: usize,
        /// The world size that the plan was made for.
        ranks: usize,
    },
    /// A name of no toy set.
    #[error("unknown toy set '{name}' (known: moons, checkerboard, spiral, gaussians)")]
    UnknownToy {
        /// The name.
        name: String,
    },
    /// An index beyond the end of a dataset.
    #[error("sample {index} asked of a dataset of {samples}")]
    SampleIndex {
        /// The index.
        index: u64,
        /// Number of samples.
        samples: usize,
    },
    /// The system gave no thread for the background loader.
    #[error("cannot start the background loader's thread: {source}")]
    Thread {
        /// The system's answer.
        source: io::Error,
    },
}

fn quoted(name: &Option<String>) -> String {
    name.as_ref().map_or("missing".to_owned(), |name| format!("'{name}'"))
}

/// Reading stops one byte after the expected end, so a longer file's true length is not known.
fn more(expected: u64, found: u64) -> &'static str {
    if found > expected { "at least " } else { "" }
}

fn cut(expected: u64, found: u64) -> &'static str {
    if found > expected { "something follows the data" } else { "it is truncated; fetch it again" }
}

/// For `map_err`: what does not fit, with the file that has it.
pub(crate) fn content_error(path: &Path) -> impl FnOnce(DataError) -> DataError {
    move |source| DataError::Content { path: path.to_owned(), source: Box::new(source) }
}

/// For `map_err`: the system's answer with what was tried.
pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> DataError {
    move |source| DataError::Io { action, path: path.to_owned(), source }
}

/// For `map_err`: the library's answer with what was tried.
pub(crate) fn hdf5_error(action: &'static str, path: &Path) -> impl FnOnce(hdf5_metno::Error) -> DataError {
    move |source| {
        let bytes = fs::metadata(path).map_or(0, |metadata| metadata.len());
        DataError::Hdf5 { action, path: path.to_owned(), bytes, source }
    }
}
