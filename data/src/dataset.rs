//! Reading a dataset file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use twinflow_array::{DType, HostArray};
use twinflow_hdf5::failed;
use twinflow_tokenizer::Tokenizer;

use crate::{
    BucketInfo, Buckets, Checksums, DataError, DatasetInfo, DatasetMetadata, Field, Source, Visit,
    captions::Captions,
    error::io_error,
    image_arrays::ImageArrays,
    images::Scan,
    prompts::Prompts,
    reader::{Content, compare_checksums},
    schema::{BYTE_RANGE, file_options, schema_version},
    source::image_fields,
};

/// Images up to this many bytes are kept in memory unless told otherwise: 2 GiB.
pub const DEFAULT_CACHE_BYTES: u64 = 2 << 30;

/// Whether opening a dataset reads all images once: for their checksum, NaN, infinity, and values far from the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Read and compare: about a second per gigabyte in the page cache.
    Yes,
    /// Images are looked at when a batch reads them; labels at once.
    No,
}

/// An open dataset file: labels in memory, images on disk or, after [`Dataset::cached`], in memory too.
///
/// Bytes in `[0, 255]` come as bytes; all else as f32, scaled from the file's value range to `[-1, 1]`. The file is
/// opened read-only and without locks, so any number of jobs may share it.
#[derive(Debug)]
pub struct Dataset {
    path: PathBuf,
    file_bytes: u64,
    metadata: DatasetMetadata,
    value_range: [f64; 2],
    checksums: Checksums,
    has_checksums: bool,
    labels: Vec<i32>,
    captions: Option<Captions>,
    prompts: Option<Prompts>,
    images: ImageArrays,
}

impl Dataset {
    /// Opens a dataset and checks its labels, shapes and types, and its images if asked.
    ///
    /// # Errors
    /// [`DataError::Missing`]; [`DataError::Hdf5`] (cut short, no HDF5 file, a filter or format that the library
    /// lacks); [`DataError::Schema`], [`DataError::SchemaVersion`]; [`DataError::Content`] with all that is wrong with
    /// labels, shapes, types and attributes; [`DataError::Checksum`].
    pub fn open(path: impl AsRef<Path>, verify: Verify) -> Result<Self, DataError> {
        let path = path.as_ref();
        let file_bytes = file_length(path)?;
        let file = file_options().open(path).map_err(failed("open the dataset", path))?;
        let Content { metadata, value_range, images, labels, captions, prompts, checksums } =
            Content::read(path, &file, file_bytes)?;
        let labelled = metadata.classes > 0;
        let has_checksums = checksums.images.is_some() && (checksums.labels.is_some() || !labelled);
        let of_labels = labelled.then(|| crc32fast::hash(bytemuck::cast_slice(&labels)));
        let checksums = Checksums { labels: of_labels, ..checksums };
        let range_known = value_range.is_some() || images.dtype() == DType::U8;
        let value_range = value_range.unwrap_or(BYTE_RANGE);
        let mut dataset = Dataset {
            path: path.to_owned(),
            file_bytes,
            metadata,
            value_range,
            checksums,
            has_checksums,
            labels,
            captions,
            prompts,
            images,
        };
        if verify == Verify::Yes || !range_known {
            let scan = dataset.scan()?;
            if !range_known {
                dataset.value_range = likely_range(scan.range);
            }
            dataset.check(&scan)?;
            dataset.checksums.images = Some(scan.checksum);
        }
        Ok(dataset)
    }

    /// Reads all images: compares their checksum with the one written, if one was (the labels' was compared on
    /// opening), and looks for NaN, infinity and values far outside the range.
    ///
    /// # Errors
    /// [`DataError::Checksum`], [`DataError::Content`], or [`DataError::Hdf5`] if they cannot be read.
    pub fn verify(&self) -> Result<(), DataError> {
        self.check(&self.scan()?)
    }

    fn scan(&self) -> Result<Scan, DataError> {
        // Damage first: a flipped bit may look like anything else that is wrong.
        let compare = |name: &str, written, found| compare_checksums(&self.path, name, written, found);
        self.images.scan(|error| failed("read images of", &self.path)(error).into(), compare)
    }

    fn check(&self, scan: &Scan) -> Result<(), DataError> {
        if let Some((index, value)) = scan.not_finite {
            return Err(self.content(DataError::NotFinite { index, value }));
        }
        check_range(scan, self.value_range).map_err(|problem| self.content(problem))
    }

    fn content(&self, problem: DataError) -> DataError {
        DataError::Content { path: self.path.clone(), problems: vec![problem] }
    }

    /// The same dataset with its images in memory, if they take at most `budget` bytes ([`DEFAULT_CACHE_BYTES`]);
    /// otherwise unchanged: each batch then reads its rows from the file.
    ///
    /// # Errors
    /// [`DataError::Hdf5`] if the images cannot be read.
    pub fn cached(mut self, budget: u64) -> Result<Self, DataError> {
        let bytes = self.images.bytes() as u64;
        if bytes > budget {
            tracing::info!(path = %self.path.display(), bytes, budget, "images stay on disk");
            return Ok(self);
        }
        self.images = self.images.into_memory().map_err(failed("read images of", &self.path))?;
        Ok(self)
    }

    /// Whether all images are in memory.
    pub fn is_cached(&self) -> bool {
        self.images.are_in_memory()
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Never: an open dataset has at least one sample.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The captions of a sample; none if the dataset has none, or no such sample.
    pub fn captions(&self, index: u64) -> Vec<String> {
        let index = usize::try_from(index).ok().filter(|index| *index < self.len());
        self.captions.as_ref().zip(index).map(|(captions, index)| captions.of(index)).unwrap_or_default()
    }

    /// All captions, sample by sample.
    ///
    /// # Errors
    /// [`DataError::NoCaptions`].
    pub fn all_captions(&self) -> Result<impl Iterator<Item = &str> + Send, DataError> {
        let captions = self.captions.as_ref().filter(|captions| captions.len() > 0);
        Ok(captions.ok_or_else(|| DataError::NoCaptions { path: self.path.clone() })?.iter())
    }

    /// One per sample, below the number of classes; all 0 if there are no classes.
    pub fn labels(&self) -> &[i32] {
        &self.labels
    }

    /// Everything known about the file.
    pub fn info(&self) -> DatasetInfo {
        let metadata = self.metadata.clone();
        let [height, width, channels] = self.sample_shape();
        let mut class_counts = vec![0; metadata.classes];
        let in_classes = self.labels.iter().filter(|_| metadata.classes > 0);
        in_classes.for_each(|label| class_counts[*label as usize] += 1);
        DatasetInfo {
            path: self.path.clone(),
            name: metadata.name,
            source: metadata.source,
            schema_version: schema_version(self.captions.is_some(), self.images.buckets().all().len()),
            captions: self.captions.as_ref().map_or(0, Captions::len),
            prompt_tokens: self.prompts.as_ref().map_or(0, |prompts| prompts.tokens),
            vocabulary: self.vocabulary(),
            tokenizer: self.tokenizer().map(Tokenizer::fingerprint),
            first_captions: (0..3).flat_map(|index| self.captions(index).into_iter().take(1)).collect(),
            samples: self.len(),
            height,
            width,
            channels,
            image_dtype: self.images.dtype().name().to_owned(),
            buckets: self.images.buckets().all().iter().map(BucketInfo::of).collect(),
            value_range: self.value_range,
            classes: metadata.classes,
            class_names: metadata.class_names,
            class_counts,
            file_bytes: self.file_bytes,
            checksums: self.checksums,
            has_checksums: self.has_checksums,
        }
    }

    /// Whether images go to the device as stored; all others are scaled on the way.
    fn has_bytes(&self) -> bool {
        self.images.dtype() == DType::U8 && self.value_range == BYTE_RANGE
    }

    /// Reads the captions of visits, which name samples that there are.
    fn read_prompts(&self, visits: &[Visit], ids: &mut HostArray, mask: &mut HostArray) -> Result<(), DataError> {
        let (Some(captions), Some(prompts)) = (&self.captions, &self.prompts) else { return Ok(()) };
        let tokens = prompts.tokens;
        let [ids, mask] = [ids, mask].map(|array| bytemuck::cast_slice_mut::<_, i32>(array.bytes_mut()));
        for ((visit, ids), mask) in visits.iter().zip(ids.chunks_exact_mut(tokens)).zip(mask.chunks_exact_mut(tokens)) {
            prompts.encode(captions.of_visit(visit.index as usize, *visit).unwrap_or_default(), ids, mask)?;
        }
        Ok(())
    }

    /// Reads an image into `out`: bytes, or f32 in `[-1, 1]`. `stored` has room for it as it is in the file.
    fn read_image(&self, row: usize, stored: &mut HostArray, out: &mut [u8]) -> Result<(), DataError> {
        let read = |into: &mut [u8]| self.images.read(row, into);
        if self.has_bytes() {
            return Ok(read(out).map_err(failed("read images of", &self.path))?);
        }
        read(stored.bytes_mut()).map_err(failed("read images of", &self.path))?;
        let out: &mut [f32] = bytemuck::cast_slice_mut(out);
        match self.images.dtype() {
            DType::U8 => out.iter_mut().zip(stored.bytes()).for_each(|(out, byte)| *out = f32::from(*byte)),
            _ => bytemuck::cast_slice_mut(out).copy_from_slice(stored.bytes()),
        }
        if let Some(value) = out.iter().find(|value| !value.is_finite()) {
            return Err(self.content(DataError::NotFinite { index: row, value: *value }));
        }
        let [black, white] = self.value_range;
        if self.value_range != [-1.0, 1.0] {
            let scale = 2.0 / (white - black);
            out.iter_mut().for_each(|value| *value = ((f64::from(*value) - black) * scale - 1.0) as f32);
        }
        Ok(())
    }
}

impl Source for Dataset {
    fn fields(&self) -> Vec<Field> {
        let buckets = self.images.buckets();
        let dtype = if self.has_bytes() { DType::U8 } else { DType::F32 };
        let mut fields = image_fields(dtype, buckets.all()[buckets.largest()].shape);
        fields.extend(self.prompts.iter().flat_map(Prompts::fields));
        fields
    }

    fn buckets(&self) -> Buckets {
        self.images.buckets().clone()
    }

    fn caption(&self, visit: Visit) -> Option<String> {
        let index = usize::try_from(visit.index).ok().filter(|index| *index < self.len());
        let caption = self.captions.as_ref().zip(index).and_then(|(captions, index)| captions.of_visit(index, visit));
        caption.map(str::to_owned)
    }

    fn tokenizer(&self) -> Option<&Tokenizer> {
        self.prompts.as_ref().map(|prompts| &prompts.tokenizer)
    }

    fn classes(&self) -> usize {
        self.metadata.classes
    }

    fn samples(&self) -> Option<u64> {
        Some(self.len() as u64)
    }

    fn read(&self, visits: &[Visit], fields: &mut [HostArray]) -> Result<(), DataError> {
        let [images, labels, text @ ..] = fields else { unreachable!("a source is given the fields that it names") };
        let labels: &mut [i32] = bytemuck::cast_slice_mut(labels.bytes_mut());
        let buckets = self.images.buckets();
        let bucket = visits.first().map_or(0, |visit| buckets.of_sample(visit.index));
        let mut stored = HostArray::zeros(self.images.row_type(bucket));
        let row_bytes = images.ty().bytes() / visits.len().max(1);
        for ((&Visit { index, .. }, image), label) in
            visits.iter().zip(images.bytes_mut().chunks_exact_mut(row_bytes)).zip(labels)
        {
            let samples = self.len();
            let row = usize::try_from(index).ok().filter(|row| *row < samples);
            let row = row.ok_or(DataError::SampleIndex { index, samples })?;
            if buckets.of_sample(index) != bucket {
                let shape = |bucket: usize| buckets.all()[bucket].shape;
                let found = shape(buckets.of_sample(index));
                return Err(DataError::OtherShape { index, found, expected: shape(bucket) });
            }
            *label = self.labels[row];
            self.read_image(row, &mut stored, image)?;
        }
        match text {
            [ids, mask] => self.read_prompts(visits, ids, mask),
            _ => Ok(()),
        }
    }
}

/// Refuses images whose values have little to do with the range that they are said to have.
pub(crate) fn check_range(scan: &Scan, value_range: [f64; 2]) -> Result<(), DataError> {
    let ([low, high], [black, white]) = (scan.range.map(f64::from), value_range);
    match low < black - (white - black) || high > white + (white - black) {
        true => Err(DataError::ValueRange { found: [low, high], value_range }),
        false => Ok(()),
    }
}

/// The range that values of unknown range are most likely meant in; their own where no usual one holds them.
pub(crate) fn likely_range([low, high]: [f32; 2]) -> [f64; 2] {
    let [low, high] = [low.into(), high.into()];
    let usual = [[0.0, 1.0], [-1.0, 1.0], BYTE_RANGE];
    let holds = |[black, white]: &[f64; 2]| *black <= low && high <= *white;
    usual.into_iter().find(holds).unwrap_or([low, if high > low { high } else { low + 1.0 }])
}

fn file_length(path: &Path) -> Result<u64, DataError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(DataError::Missing { path: path.to_owned() }),
        Err(error) => Err(io_error("open", path)(error)),
    }
}
