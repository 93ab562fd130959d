//! What a dataset file says about itself, and whether its parts are what the schema asks for.

use std::path::Path;

use hdf5_metno::{
    Dataset as Hdf5Dataset, File, Location,
    types::{FixedAscii, FixedUnicode, FloatSize, IntSize, TypeDescriptor, VarLenAscii, VarLenUnicode},
};
use twinflow_array::{DType, TensorType};

use crate::{
    DataError, Metadata, SCHEMA_NAME, SCHEMA_VERSION,
    error::{content_error, hdf5_error},
    schema::{IMAGES, LABELS, MAX_CLASSES, MAX_TEXT},
};

/// Deflate packs at most 1:1032, so no dataset is larger than this many times its file.
const MAX_COMPRESSION: usize = 1032;

/// Room for any string attribute.
type Text = FixedUnicode<MAX_TEXT>;

/// The file's attributes, checked, and its length.
#[derive(Clone, Debug)]
pub(crate) struct FileHeader {
    pub metadata: Metadata,
    pub schema_version: u32,
    pub value_range: [f64; 2],
    pub file_bytes: u64,
}

impl FileHeader {
    /// Reads the attributes; the schema's name and version come first, since all else depends on them.
    pub fn read(path: &Path, file: &File, file_bytes: u64) -> Result<Self, DataError> {
        let found = read_text(file, "schema").ok();
        if found.as_deref() != Some(SCHEMA_NAME) {
            return Err(DataError::Schema { path: path.to_owned(), expected: SCHEMA_NAME, found });
        }
        let failed = |error| hdf5_error("read the attributes of", path)(error);
        let number = |name| file.attr(name)?.read_scalar::<u32>();
        let schema_version = number("schema_version").map_err(failed)?;
        if schema_version > SCHEMA_VERSION {
            let supported = SCHEMA_VERSION;
            return Err(DataError::SchemaVersion { path: path.to_owned(), found: schema_version, supported });
        }
        let value_range = file.attr("value_range").and_then(|range| range.read_raw::<f64>()).map_err(failed)?;
        let value_range = <[f64; 2]>::try_from(value_range)
            .map_err(|found| layout(path, "value_range", "two numbers", format!("{found:?}")))?;
        let metadata = Metadata {
            name: read_text(file, "name").map_err(failed)?,
            source: read_text(file, "source").map_err(failed)?,
            classes: check_classes(path, number("classes").map_err(failed)? as usize)?,
            class_names: parse_class_names(path, &read_text(file, "class_names").map_err(failed)?)?,
        };
        let (names, classes) = (metadata.class_names.len(), metadata.classes);
        if names != 0 && names != classes {
            return Err(content_error(path)(DataError::ClassNames { names, classes }));
        }
        Ok(FileHeader { metadata, schema_version, value_range, file_bytes })
    }

    /// The stored images with their type and shape.
    pub fn open_images(&self, path: &Path, file: &File) -> Result<(Hdf5Dataset, TensorType), DataError> {
        let (images, element, shape) = self.open(path, file, IMAGES)?;
        let dtype = match element {
            TypeDescriptor::Unsigned(IntSize::U1) => DType::U8,
            TypeDescriptor::Float(FloatSize::U4) => DType::F32,
            other => return Err(layout(path, IMAGES, "u8 or f32", format!("of type {other}"))),
        };
        if shape.len() != 4 || shape.contains(&0) {
            return Err(layout(path, IMAGES, "[n, height, width, channels], no dim 0", format!("of shape {shape:?}")));
        }
        Ok((images, TensorType::new(dtype, shape)))
    }

    /// The stored labels.
    pub fn open_labels(&self, path: &Path, file: &File) -> Result<Hdf5Dataset, DataError> {
        let (labels, element, shape) = self.open(path, file, LABELS)?;
        if !matches!(element, TypeDescriptor::Integer(IntSize::U4)) {
            return Err(layout(path, LABELS, "i32", format!("of type {element}")));
        }
        if shape.len() != 1 {
            return Err(layout(path, LABELS, "shape [n]", format!("of shape {shape:?}")));
        }
        Ok(labels)
    }

    /// A dataset of the file with its element type and shape. A damaged header can claim any size, and memory is taken
    /// by what it claims: so the claim is held against the file's length.
    fn open(
        &self,
        path: &Path,
        file: &File,
        name: &'static str,
    ) -> Result<(Hdf5Dataset, TypeDescriptor, Vec<usize>), DataError> {
        let open = || {
            let stored = file.dataset(name)?;
            let (element, shape) = (stored.dtype()?.to_descriptor()?, stored.get_shape()?);
            Ok((stored, element, shape))
        };
        let (stored, element, shape) = open().map_err(hdf5_error("open a dataset of", path))?;
        let packing = if stored.filters().is_empty() { 1 } else { MAX_COMPRESSION };
        let limit = usize::try_from(self.file_bytes).unwrap_or(usize::MAX).saturating_mul(packing);
        let bytes = shape.iter().try_fold(element.size(), |bytes, dim| bytes.checked_mul(*dim));
        if bytes.is_none_or(|bytes| bytes > limit) {
            let found = format!("of shape {shape:?}, more than a file of {} bytes holds", self.file_bytes);
            return Err(layout(path, name, "no more than the file holds (it is damaged; import it again)", found));
        }
        Ok((stored, element, shape))
    }
}

fn check_classes(path: &Path, classes: usize) -> Result<usize, DataError> {
    if (1..=MAX_CLASSES).contains(&classes) {
        return Ok(classes);
    }
    Err(layout(path, "classes", "1 to 1048576", classes.to_string()))
}

fn parse_class_names(path: &Path, text: &str) -> Result<Vec<String>, DataError> {
    serde_json::from_str(text).map_err(|_| layout(path, "class_names", "a JSON list of strings", format!("'{text}'")))
}

fn layout(path: &Path, object: &'static str, expected: &'static str, found: String) -> DataError {
    DataError::Layout { path: path.to_owned(), object, expected, found }
}

/// Finds the first label that names no class.
pub(crate) fn check_label_range(labels: &[i32], classes: usize) -> Result<(), DataError> {
    let valid = |label: &i32| usize::try_from(*label).is_ok_and(|label| label < classes);
    match labels.iter().position(|label| !valid(label)) {
        Some(index) => Err(DataError::LabelRange { index, label: labels[index].into(), classes }),
        None => Ok(()),
    }
}

/// Writes a string attribute of fixed length; checked by the caller to be at most [`MAX_TEXT`] bytes.
pub(crate) fn write_text(location: &Location, name: &str, text: &str) -> hdf5_metno::Result<()> {
    // A fixed string ends at its last byte that is not zero; HDF5 knows no length 0.
    let stored = TypeDescriptor::FixedUnicode(text.len().max(1));
    let text: Text = text.parse().map_err(|error| format!("attribute '{name}': {error}"))?;
    location.new_attr_builder().empty_as(&stored).create(name)?.write_scalar(&text)
}

/// Reads a string attribute of any kind (HDF5 converts none into another); bytes that are not UTF-8 become replacement
/// characters.
fn read_text(location: &Location, name: &str) -> hdf5_metno::Result<String> {
    let attribute = location.attr(name)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(match attribute.dtype()?.to_descriptor()? {
        TypeDescriptor::VarLenUnicode => text(attribute.read_scalar::<VarLenUnicode>()?.as_bytes()),
        TypeDescriptor::VarLenAscii => text(attribute.read_scalar::<VarLenAscii>()?.as_bytes()),
        TypeDescriptor::FixedAscii(_) => text(attribute.read_scalar::<FixedAscii<MAX_TEXT>>()?.as_bytes()),
        _ => text(attribute.read_scalar::<Text>()?.as_bytes()),
    })
}
