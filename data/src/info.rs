//! What `data info` tells about a dataset.

use std::{fmt, path::PathBuf};

use serde::Serialize;

use crate::Bucket;

/// Everything known about a dataset file.
#[allow(missing_docs, reason = "most names say all")]
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DatasetInfo {
    pub path: PathBuf,
    pub name: String,
    pub source: String,
    pub schema_version: u32,
    /// Of all samples.
    pub captions: usize,
    /// The first caption of each of the first samples.
    pub first_captions: Vec<String>,
    /// Tokens of a prompt; 0 without a tokenizer.
    pub prompt_tokens: usize,
    /// Numbers that a token may have; 0 without a tokenizer.
    pub vocabulary: usize,
    /// CRC-32 of the tokenizer.
    pub tokenizer: Option<u32>,
    pub samples: usize,
    /// By shape, in the order of samples.
    pub buckets: Vec<BucketInfo>,
    /// Of the bucket with most samples, as is the width.
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    /// Element type of the stored images: `u8` or `f32`.
    pub image_dtype: String,
    /// Least and greatest value that stored images may have.
    pub value_range: [f64; 2],
    pub classes: usize,
    /// Names of the classes; empty if unnamed.
    pub class_names: Vec<String>,
    /// Samples of each class.
    pub class_counts: Vec<usize>,
    pub file_bytes: u64,
    /// Of the data, where known.
    pub checksums: Checksums,
    /// Whether the file has checksums of its own, which were compared.
    pub has_checksums: bool,
}

/// Samples whose images have one shape.
#[allow(missing_docs, reason = "the names say all")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BucketInfo {
    pub height: usize,
    pub width: usize,
    pub samples: u64,
}

impl BucketInfo {
    pub(crate) fn of(bucket: &Bucket) -> Self {
        let [height, width, _] = bucket.shape;
        BucketInfo { height, width, samples: bucket.samples.end - bucket.samples.start }
    }
}

/// CRC-32 sums; none where the file has none and the data were not read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Checksums {
    /// Of the images' bytes.
    pub images: Option<u32>,
    /// Of the labels as i32; none where there are no classes.
    pub labels: Option<u32>,
}

impl fmt::Display for DatasetInfo {
    /// Aligned lines for a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DatasetInfo { samples, channels, image_dtype, value_range: [low, high], .. } = self;
        writeln!(f, "dataset    {} (schema version {})", self.name, self.schema_version)?;
        writeln!(f, "file       {} ({:.1} MB)", self.path.display(), self.file_bytes as f64 / 1e6)?;
        writeln!(f, "source     {}", self.source)?;
        match &self.buckets[..] {
            [BucketInfo { height, width, .. }] => {
                writeln!(
                    f,
                    "images     {samples} of {height} x {width} x {channels}, {image_dtype} in [{low}, {high}]"
                )?;
            }
            buckets => {
                let count = buckets.len();
                writeln!(
                    f,
                    "images     {samples} of {channels} channels in {count} shapes, {image_dtype} in [{low}, {high}]"
                )?;
                for BucketInfo { height, width, samples } in buckets {
                    writeln!(f, "{samples:>9}  {height} x {width} (height x width)")?;
                }
            }
        }
        let sum = |checksum: Option<u32>| checksum.map_or("unknown".to_owned(), |sum| format!("{sum:08x}"));
        let origin = if self.has_checksums { "" } else { " (the file has none)" };
        let Checksums { images, labels } = self.checksums;
        let of_labels = if self.classes > 0 { format!(", labels {}", sum(labels)) } else { String::new() };
        writeln!(f, "checksums  images {}{of_labels}{origin}", sum(images))?;
        if self.captions > 0 {
            writeln!(f, "captions   {}, such as", self.captions)?;
            self.first_captions.iter().try_for_each(|caption| writeln!(f, "           {caption}"))?;
        }
        if let (Some(tokenizer), DatasetInfo { vocabulary, prompt_tokens, .. }) = (self.tokenizer, self) {
            writeln!(f, "tokenizer  {tokenizer:08x}: {vocabulary} tokens, {prompt_tokens} per prompt")?;
        }
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
