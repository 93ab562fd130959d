//! What `data info` tells about a dataset.

use std::{fmt, path::PathBuf};

use serde::Serialize;

/// Everything known about a dataset file without reading its images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DatasetInfo {
    /// The file.
    pub path: PathBuf,
    /// The set's name.
    pub name: String,
    /// Where the data came from.
    pub source: String,
    /// Version of the schema.
    pub schema_version: u32,
    /// Number of samples.
    pub samples: usize,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Channels of an image.
    pub channels: usize,
    /// Element type of the stored images: `u8` or `f32`.
    pub image_dtype: String,
    /// Least and greatest value that stored images may have.
    pub value_range: [f64; 2],
    /// Number of classes.
    pub classes: usize,
    /// Names of the classes; empty if unnamed.
    pub class_names: Vec<String>,
    /// Samples of each class.
    pub class_counts: Vec<usize>,
    /// Length of the file.
    pub file_bytes: u64,
    /// The checksums written beside the data.
    pub checksums: Checksums,
}

/// The CRC-32 sums stored with the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Checksums {
    /// Of the images' bytes.
    pub images: u32,
    /// Of the labels' bytes.
    pub labels: u32,
}

impl fmt::Display for DatasetInfo {
    /// Aligned lines for a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DatasetInfo { samples, height, width, channels, image_dtype, value_range: [low, high], .. } = self;
        writeln!(f, "dataset    {} (schema version {})", self.name, self.schema_version)?;
        writeln!(f, "file       {} ({:.1} MB)", self.path.display(), self.file_bytes as f64 / 1e6)?;
        writeln!(f, "source     {}", self.source)?;
        writeln!(f, "images     {samples} of {height} x {width} x {channels}, {image_dtype} in [{low}, {high}]")?;
        writeln!(f, "checksums  images {:08x}, labels {:08x}", self.checksums.images, self.checksums.labels)?;
        write!(f, "classes    {}", self.classes)?;
        for (class, count) in self.class_counts.iter().enumerate() {
            write!(f, "\n{class:>9}  {count:>9}")?;
            if let Some(name) = self.class_names.get(class) {
                write!(f, "  {name}")?;
            }
        }
        Ok(())
    }
}
