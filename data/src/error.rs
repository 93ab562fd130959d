//! What can go wrong between a file and a batch.

use std::{
    io,
    path::{Path, PathBuf},
};

use twinflow_array::TensorType;
use twinflow_hdf5::Hdf5Error;
use twinflow_tokenizer::TokenizerError;

use crate::pictures::{PictureFault, Within};

/// Any failure of this crate. Messages say what is wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum DataError {
    /// There is no file at the path of a dataset.
    #[error("no dataset at '{}': make one with `twinflow-xla data import`, or correct the path", path.display())]
    Missing { path: PathBuf },
    /// The operating system refused an operation on a file.
    #[error("cannot {action} '{}': {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    /// The HDF5 library refused an operation.
    #[error("{0}{advice}", advice = if .0.cause.is_damage() { "; import the dataset again" } else { "" })]
    Hdf5(#[from] Hdf5Error),
    /// An HDF5 file with another content.
    #[error("'{}' is an HDF5 file but no dataset: its attribute 'schema' is '{found}', not '{expected}'", path.display())]
    Schema { path: PathBuf, expected: &'static str, found: String },
    /// A file of a later version of the schema.
    #[error("'{}' has schema version {found}; this program reads versions up to {supported}: use a newer program or import again", path.display())]
    SchemaVersion { path: PathBuf, found: u64, supported: u32 },
    /// An array or attribute that does not follow the schema.
    #[error("'{object}' is {found}; it must be {expected}")]
    Layout { object: String, expected: String, found: String },
    /// An array that the file lacks.
    #[error("there is no '{name}' (the file has: {})", if members.is_empty() { "nothing".to_owned() } else { members.join(", ") })]
    NoArray { name: String, members: Vec<String> },
    /// An array of which chunks were never written: they read as zeros.
    #[error(
        "{percent} % of '{name}' were written, the rest reads as zeros, as if the program that wrote it was stopped"
    )]
    Unwritten { name: String, percent: u32 },
    /// Stored bytes are not those that were written.
    #[error("'{}' is damaged: dataset '{dataset}' has checksum {found:08x}, written as {expected:08x}; import it again", path.display())]
    Checksum { path: PathBuf, dataset: String, expected: u32, found: u32 },
    /// An IDX file that starts with other bytes than it should.
    #[error("'{}' is no IDX file of {expected}: it starts with the bytes {found:02x?}", path.display())]
    IdxMagic { path: PathBuf, expected: &'static str, found: [u8; 4] },
    /// A file that ends too early or too late (bytes after decompression).
    #[error("'{}' has {}{found} bytes where its header asks for {expected}: {}", path.display(), more(*expected, *found), cut(*expected, *found))]
    IdxLength {
        path: PathBuf,
        expected: u64,
        /// Bytes found; one more than expected stands for any number more.
        found: u64,
    },
    /// IDX dims that no dataset can have.
    #[error("'{}' has dims {dims:?}: each must be at least 1 and their product fit in memory", path.display())]
    IdxDims { path: PathBuf, dims: Vec<u64> },
    /// Images and labels of different number.
    #[error("{images} images but {labels} labels: they must be of the same split")]
    CountMismatch { images: usize, labels: usize },
    /// A label that names no class.
    #[error("label {label} at index {index} is out of range: there are {classes} classes, 0 to {}", classes.saturating_sub(1))]
    LabelRange { index: usize, label: i64, classes: usize },
    /// A label that stands for no class at all.
    #[error("label {value} at index {index} is no whole number")]
    LabelNumber { index: usize, value: f64 },
    /// Labels of several columns that are not one-hot.
    #[error(
        "label row {index} is not one-hot (a single 1 in {columns} columns): convert to the class's column, such as labels[:, 0]"
    )]
    NotOneHot { index: usize, columns: usize },
    /// A file with a content that cannot be trained on, with all that is wrong.
    #[error("'{}' is no sound dataset: {}; correct it (docs/data-format.md) or import it again", path.display(), listed(problems))]
    Content { path: PathBuf, problems: Vec<DataError> },
    /// A number of classes that no dataset has.
    #[error("{classes} classes; there must be at least 1 and at most {limit}")]
    Classes { classes: usize, limit: usize },
    /// Class names that do not fit the number of classes.
    #[error("{names} class names for {classes} classes: give one name per class, or none")]
    ClassNames { names: usize, classes: usize },
    /// A text too long for an attribute.
    #[error("{attribute} of {bytes} bytes; at most {limit} fit: shorten or leave them out")]
    TextLength { attribute: &'static str, bytes: usize, limit: usize },
    /// Images that cannot be stored.
    #[error("images are {found}; they must be u8 or f32 of shape [n, height, width, channels], no dim 0")]
    ImageType { found: TensorType },
    /// NaN or infinity among f32 images.
    #[error("image {index} holds a value that is not finite ({value})")]
    NotFinite { index: usize, value: f32 },
    /// Images whose values have little to do with the range that the file gives.
    #[error("images hold values from {} to {}, far outside value_range [{}, {}]: correct it", found[0], found[1], value_range[0], value_range[1])]
    ValueRange { found: [f64; 2], value_range: [f64; 2] },
    /// Arrays of images that differ in more than height and width.
    #[error("'{name}' holds {found}, other arrays of images {expected}: one element type, one number of channels")]
    MixedImages { name: String, found: String, expected: String },
    /// A sample that does not go into an array beside others.
    #[error("sample {index} is of {found:?} (height, width, channels), the samples beside it of {expected:?}")]
    OtherShape { index: u64, found: [usize; 3], expected: [usize; 3] },
    /// Captions that cannot be told apart.
    #[error("'{name}' does not divide the captions: offsets ascend from 0 to the end, and the text is UTF-8")]
    CaptionOffsets { name: &'static str },
    /// Captions of another number of images.
    #[error("{images} images but captions of {captions}")]
    CaptionCount { images: usize, captions: usize },
    /// A resolution for which there is no shape.
    #[error(
        "no bucket near {resolution} x {resolution} has sides that are multiples of {unit} and at most {most_aspect} times \
         each other: take a smaller multiple or a greater aspect ratio"
    )]
    Buckets { resolution: u32, unit: u32, most_aspect: f64 },
    /// A picture that cannot be used.
    #[error("picture '{name}': {fault}; repair it, or leave such pictures out by --skip-damaged")]
    Picture { name: String, fault: PictureFault },
    /// A file of captions or pictures with content that cannot be used.
    #[error("'{}'{within}: {reason}", path.display())]
    PictureSet { path: PathBuf, within: Within, reason: String },
    /// Pictures without captions.
    #[error("{count} pictures have no caption, such as '{first}': {advice}")]
    NoCaption { count: usize, first: String, advice: &'static str },
    /// Neither a folder nor a file of pictures.
    #[error("'{}' is neither a folder of pictures nor a .tar or .parquet file, as all must be that are named", path.display())]
    NotPictures { path: PathBuf },
    /// A folder without anything to import, or of which nothing was sound.
    #[error("no usable pictures in '{}' (PNG, JPEG, WebP, GIF; captions in metadata.jsonl or in NAME.txt beside each)", path.display())]
    NoPictures { path: PathBuf },
    /// A dataset of which prompts are asked, and which has no captions.
    #[error("'{}' has no captions, which tokens are made of: import pictures with captions (`data import --pictures`)", path.display())]
    NoCaptions { path: PathBuf },
    /// A tokenizer that cannot be used, or fails.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// Another process imports into the same file.
    #[error("another import is at work in '{}'", path.display())]
    ImportRuns { path: PathBuf },
    /// A part of the global batch that cannot be dealt out evenly.
    #[error(
        "part {part} of the batch has {size} samples, which {ranks} ranks x {micro_batches} micro-batches x {devices} \
         devices cannot share equally: make it a multiple of {}", ranks.saturating_mul(*micro_batches).saturating_mul(*devices)
    )]
    UnevenPart { part: usize, size: usize, ranks: usize, micro_batches: usize, devices: usize },
    /// A batch or a world of nothing.
    #[error("{what} is 0; it must be at least 1")]
    Zero { what: &'static str },
    /// A rank outside the world.
    #[error("rank {rank} of a world of {ranks}: ranks count from 0")]
    Rank { rank: usize, ranks: usize },
    /// A name of no toy set.
    #[error("unknown toy set '{name}' (known: moons, checkerboard, spiral, gaussians)")]
    UnknownToy { name: String },
    /// An index beyond the end of a dataset.
    #[error("sample {index} asked of a dataset of {samples}")]
    SampleIndex { index: u64, samples: usize },
    /// The system gave no thread for the background loader.
    #[error("cannot start the background loader's thread: {source}")]
    Thread { source: io::Error },
}

fn listed(problems: &[DataError]) -> String {
    match problems {
        [only] => only.to_string(),
        _ => problems.iter().map(|problem| format!("\n  - {problem}")).collect(),
    }
}

/// Reading stops one byte after the expected end, so a longer file's true length is not known.
fn more(expected: u64, found: u64) -> &'static str {
    if found > expected { "at least " } else { "" }
}

fn cut(expected: u64, found: u64) -> &'static str {
    if found > expected { "something follows the data" } else { "it is truncated; fetch it again" }
}

/// For `map_err`: the system's answer with what was tried.
pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> DataError {
    move |source| DataError::Io { action, path: path.to_owned(), source }
}
