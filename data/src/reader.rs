//! Looking through a dataset file; what is wrong with its content is collected, so that all is said at once.

use std::path::Path;

use hdf5_metno::{
    Dataset as Hdf5Dataset, File, H5Type, LocationType,
    types::{TypeDescriptor, VarLenUnicode},
};
use twinflow_array::Element;
use twinflow_hdf5::{failed, read_text};
use twinflow_tokenizer::Tokenizer;

use crate::{
    Checksums, DataError, DatasetMetadata, IMAGES, LABELS, SCHEMA_NAME, SCHEMA_VERSION,
    captions::{CAPTION_OFFSETS, CAPTIONS, Captions, IMAGE_CAPTIONS},
    image_arrays::{ImageArrays, NamedImages},
    images::{Images, image_type},
    labels::{self, LabelLayout},
    prompts::{PROMPT_TOKENS, Prompts, TOKENIZER},
    stored::Stored,
};

/// Rows of labels read at once: one-hot rows of many classes take much more memory than what is kept of them.
const LABEL_ROWS: usize = 1 << 14;

/// What a dataset file holds. Whatever else may be missing in files that other programs wrote is an option.
pub(crate) struct Content {
    pub metadata: DatasetMetadata,
    pub value_range: Option<[f64; 2]>,
    pub images: ImageArrays,
    pub labels: Vec<i32>,
    pub captions: Option<Captions>,
    pub prompts: Option<Prompts>,
    /// As written in the file.
    pub checksums: Checksums,
}

struct Reader<'f> {
    path: &'f Path,
    file: &'f File,
    file_bytes: u64,
    problems: Vec<DataError>,
}

impl Content {
    /// Reads everything but the images' pixels.
    ///
    /// # Errors
    /// [`DataError::Schema`] and [`DataError::SchemaVersion`], under which nothing else has a meaning;
    /// [`DataError::Hdf5`]; [`DataError::Content`] with all that is wrong.
    pub fn read(path: &Path, file: &File, file_bytes: u64) -> Result<Self, DataError> {
        let mut reader = Reader { path, file, file_bytes, problems: Vec::new() };
        reader.check_schema()?;
        let value_range = reader.value_range();
        let (classes, class_names) = (reader.number("classes"), reader.class_names());
        let name = reader.text("name").or_else(|| Some(path.file_stem()?.to_string_lossy().into_owned()));
        let source = reader.text("source").unwrap_or_else(|| "unknown".to_owned());
        let (images, captions, prompts) = (reader.images()?, reader.captions()?, reader.prompts()?);
        let unlabelled = captions.is_some() && !file.link_exists(LABELS);
        let labels = match &captions {
            Some(captions) if unlabelled => Some(StoredLabels::none(captions.images())),
            _ => reader.labels()?,
        };
        if let (Some(images), Some(labels)) = (images, labels) {
            let classes = match (classes, class_names.len()) {
                _ if unlabelled => 0,
                (Some(classes), _) => classes as usize,
                (None, 0) => labels.layout.classes(&labels.values),
                (None, names) => names,
            };
            let samples = images.len();
            if let Some(captions) = captions.as_ref().map(Captions::images).filter(|captions| *captions != samples) {
                reader.problems.push(DataError::CaptionCount { images: samples, captions });
            }
            let values = match unlabelled {
                true => vec![0; samples],
                false => reader.fitting_labels(&labels.values, classes, &class_names, samples),
            };
            if reader.problems.is_empty() {
                let metadata = DatasetMetadata { name: name.unwrap_or_default(), source, classes, class_names };
                let checksums = Checksums { images: images.checksum(), labels: labels.checksum };
                return Ok(Content { metadata, value_range, images, labels: values, captions, prompts, checksums });
            }
        }
        Err(DataError::Content { path: path.to_owned(), problems: reader.problems })
    }
}

/// Labels as stored.
struct StoredLabels {
    layout: LabelLayout,
    values: Vec<i64>,
    checksum: Option<u32>,
}

impl StoredLabels {
    /// "No class" for every sample of data without classes.
    fn none(samples: usize) -> Self {
        StoredLabels { layout: LabelLayout::Number, values: vec![0; samples], checksum: None }
    }
}

impl Reader<'_> {
    fn check_schema(&mut self) -> Result<(), DataError> {
        let path = self.path.to_owned();
        if let Some(found) = self.text("schema").filter(|found| found != SCHEMA_NAME) {
            return Err(DataError::Schema { path, expected: SCHEMA_NAME, found });
        }
        match self.number("schema_version") {
            Some(found) if found > u64::from(SCHEMA_VERSION) => {
                Err(DataError::SchemaVersion { path, found, supported: SCHEMA_VERSION })
            }
            _ => Ok(()),
        }
    }

    /// The array of images, or the group of arrays of images, by name.
    fn images(&mut self) -> Result<Option<ImageArrays>, DataError> {
        let names = self.image_arrays()?;
        let mut arrays = Vec::with_capacity(names.len());
        for name in &names {
            arrays.extend(self.image_array(name)?);
        }
        if arrays.len() < names.len() || arrays.is_empty() {
            return Ok(None);
        }
        Ok(ImageArrays::new(arrays).map_err(|problem| self.problems.push(problem)).ok())
    }

    fn image_arrays(&mut self) -> Result<Vec<String>, DataError> {
        let is_group = self.file.loc_info_by_name(IMAGES).is_ok_and(|info| info.loc_type == LocationType::Group);
        if !is_group {
            return Ok(vec![IMAGES.to_owned()]);
        }
        let members = self.file.group(IMAGES).and_then(|group| group.member_names());
        let mut members = members.map_err(failed("list the images of", self.path))?;
        members.sort_unstable();
        if members.is_empty() {
            self.refuse(IMAGES, "an array, or a group with an array for each shape", "an empty group".to_owned());
        }
        Ok(members.into_iter().map(|member| format!("{IMAGES}/{member}")).collect())
    }

    fn image_array(&mut self, name: &str) -> Result<Option<NamedImages>, DataError> {
        let Some(stored) = self.open(name)? else { return Ok(None) };
        match image_type(&stored.element, &stored.shape) {
            Ok(ty) => {
                let checksum = self.checksum(&stored.dataset)?;
                Ok(Some(NamedImages { name: name.to_owned(), images: Images::OnDisk { stored, ty }, checksum }))
            }
            Err(expected) => {
                self.refuse(name, expected, stored.describe());
                Ok(None)
            }
        }
    }

    fn labels(&mut self) -> Result<Option<StoredLabels>, DataError> {
        let Some(stored) = self.open(LABELS)? else { return Ok(None) };
        let is_number = matches!(
            stored.element,
            TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_) | TypeDescriptor::Float(_)
        );
        let Some(layout) = LabelLayout::of(&stored.shape).filter(|_| is_number) else {
            let expected = "whole numbers [n], or one-hot [n, classes] (convert: labels.astype('int32').reshape(-1))";
            self.refuse(LABELS, expected, stored.describe());
            return Ok(None);
        };
        let checksum = self.checksum(&stored.dataset)?;
        let mut values = Vec::new();
        for first in (0..stored.shape[0]).step_by(LABEL_ROWS) {
            let rows = first..stored.shape[0].min(first + LABEL_ROWS);
            let rows = stored.rows::<f64>(rows).map_err(failed("read labels of", self.path))?;
            match layout.labels(&rows, first) {
                Ok(labels) => values.extend(labels),
                Err(problem) => {
                    self.problems.push(problem);
                    return Ok(None);
                }
            }
        }
        // Damage first: a flipped bit may look like a label that names no class.
        let as_i32: Vec<i32> = values.iter().map(|label| *label as i32).collect();
        compare_checksums(self.path, LABELS, checksum, crc32fast::hash(bytemuck::cast_slice(&as_i32)))?;
        Ok(Some(StoredLabels { layout, values, checksum }))
    }

    fn captions(&mut self) -> Result<Option<Captions>, DataError> {
        if !self.file.link_exists(CAPTIONS) {
            return Ok(None);
        }
        let (text, offsets) = (self.array::<u8>(CAPTIONS)?, self.array::<u64>(CAPTION_OFFSETS)?);
        let first = self.array::<u64>(IMAGE_CAPTIONS)?;
        let (Some(text), Some(offsets), Some(first)) = (text, offsets, first) else { return Ok(None) };
        Ok(Captions::from_parts(text, offsets, first).map_err(|problem| self.problems.push(problem)).ok())
    }

    /// The tokenizer of the captions.
    fn prompts(&mut self) -> Result<Option<Prompts>, DataError> {
        if !self.file.link_exists(TOKENIZER) {
            return Ok(None);
        }
        let Some(json) = self.array::<u8>(TOKENIZER)? else { return Ok(None) };
        let tokens = self.file.dataset(TOKENIZER).and_then(|stored| Prompts::read_tokens(&stored));
        let Ok(tokens) = tokens else {
            self.refuse(PROMPT_TOKENS, "a whole number beside the tokenizer", "something else, or missing".to_owned());
            return Ok(None);
        };
        let tokenizer = Tokenizer::from_json(&String::from_utf8_lossy(&json));
        let prompts = tokenizer.and_then(|tokenizer| Prompts::new(tokenizer, tokens));
        Ok(prompts.map_err(|problem| self.problems.push(problem.into())).ok())
    }

    /// All of an array `[n]`, with its checksum compared.
    fn array<T: Element + H5Type>(&mut self, name: &'static str) -> Result<Option<Vec<T>>, DataError> {
        let Some(stored) = self.open(name)? else { return Ok(None) };
        let expected = T::type_descriptor();
        if stored.element != expected || stored.shape.len() != 1 {
            self.refuse(name, format!("{expected} [n]"), stored.describe());
            return Ok(None);
        }
        let elements = stored.dataset.read_raw::<T>().map_err(failed("read text of", self.path))?;
        let checksum = self.checksum(&stored.dataset)?;
        compare_checksums(self.path, name, checksum, crc32fast::hash(bytemuck::cast_slice(&elements)))?;
        Ok(Some(elements))
    }

    /// Labels as the step takes them, one for each image.
    fn fitting_labels(&mut self, labels: &[i64], classes: usize, names: &[String], images: usize) -> Vec<i32> {
        if labels.len() != images {
            self.problems.push(DataError::CountMismatch { images, labels: labels.len() });
        }
        if !names.is_empty() && names.len() != classes {
            self.problems.push(DataError::ClassNames { names: names.len(), classes });
        }
        labels::in_range(labels, classes).map_err(|problem| self.problems.push(problem)).unwrap_or_default()
    }

    /// A dataset of the file. None, with the problem noted, if there is no such dataset or it is not whole.
    ///
    /// # Errors
    /// [`DataError::Hdf5`] if it is there but cannot be opened.
    fn open(&mut self, name: &str) -> Result<Option<Stored>, DataError> {
        if !self.file.link_exists(name) {
            let members = self.file.member_names().unwrap_or_default();
            self.problems.push(DataError::NoArray { name: name.to_owned(), members });
            return Ok(None);
        }
        let stored = Stored::open(self.file, name).map_err(failed("open a dataset of", self.path))?;
        let written = stored.share_written(self.file_bytes);
        if written < 1.0 {
            self.problems.push(DataError::Unwritten { name: name.to_owned(), percent: (written * 100.0) as u32 });
            return Ok(None);
        }
        if !stored.fits(self.file_bytes) {
            let found = format!("{}, more than a file of {} bytes holds", stored.describe(), self.file_bytes);
            self.refuse(name, "no more than the file holds", found);
            return Ok(None);
        }
        Ok(Some(stored))
    }

    fn checksum(&self, dataset: &Hdf5Dataset) -> Result<Option<u32>, DataError> {
        if !has_attribute(dataset, "checksum") {
            return Ok(None);
        }
        let checksum = dataset.attr("checksum").and_then(|attribute| attribute.read_scalar());
        Ok(Some(checksum.map_err(failed("read a checksum of", self.path))?))
    }

    fn refuse(&mut self, object: &str, expected: impl Into<String>, found: String) {
        self.problems.push(DataError::Layout { object: object.to_owned(), expected: expected.into(), found });
    }

    /// An attribute; none if it is missing, or if it cannot be read so, which is noted.
    fn attribute<T>(
        &mut self,
        name: &'static str,
        expected: &'static str,
        read: impl FnOnce(&File) -> hdf5_metno::Result<T>,
    ) -> Option<T> {
        if !has_attribute(self.file, name) {
            return None;
        }
        read(self.file).map_err(|error| self.refuse(name, expected, format!("something else ({error})"))).ok()
    }

    fn text(&mut self, name: &'static str) -> Option<String> {
        self.attribute(name, "a string", |file| read_text(file, name))
    }

    fn number(&mut self, name: &'static str) -> Option<u64> {
        self.attribute(name, "a whole number", |file| file.attr(name)?.read_scalar::<u64>())
    }

    /// A JSON list in one string, which libhdf5 guards by a checksum, or an array of strings, as h5py makes of a list.
    fn class_names(&mut self) -> Vec<String> {
        let names = self.attribute("class_names", "a list of strings", |file| {
            let attribute = file.attr("class_names")?;
            if attribute.ndim() == 1 {
                return Ok(attribute.read_raw::<VarLenUnicode>()?.iter().map(ToString::to_string).collect());
            }
            let text = read_text(file, "class_names")?;
            serde_json::from_str(&text).map_err(|_| format!("'{text}' is no JSON list of strings").into())
        });
        names.unwrap_or_default()
    }

    fn value_range(&mut self) -> Option<[f64; 2]> {
        let found = self.attribute("value_range", "two numbers", |file| file.attr("value_range")?.read_raw::<f64>())?;
        match found[..] {
            [black, white] if black < white && (white - black).is_finite() => Some([black, white]),
            _ => {
                self.refuse("value_range", "two numbers, the first below the second", format!("{found:?}"));
                None
            }
        }
    }
}

/// Refuses bytes that are not those written.
pub(crate) fn compare_checksums(path: &Path, dataset: &str, written: Option<u32>, found: u32) -> Result<(), DataError> {
    match written {
        Some(expected) if expected != found => {
            Err(DataError::Checksum { path: path.to_owned(), dataset: dataset.to_owned(), expected, found })
        }
        _ => Ok(()),
    }
}

fn has_attribute(location: &hdf5_metno::Location, name: &str) -> bool {
    location.attr_names().is_ok_and(|names| names.iter().any(|known| known == name))
}
