//! Weights for other programs.

use std::{
    collections::{HashMap, HashSet},
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
};

use safetensors::{
    Dtype,
    tensor::{Metadata as Header, TensorInfo},
};
use serde::Serialize;
use twinflow_array::{DType, HostArray, ParamPath, Place, TensorType, Tree};

use crate::{ArrayEntry, Checkpoint, CheckpointError, Metadata, layout, metadata::write_text, publish::publish};

/// The kind of file to export to. Both hold each layer of stacked parameters by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Hugging Face's safetensors, with the names and layouts of PyTorch modules: `blocks.0.attn.qkv.weight` is
    /// `[out, in]`.
    Safetensors,
    /// Plain HDF5 with the names and layouts of this program, groups for segments: `blocks/0/attention/qkv/weight` is
    /// `[in, out]`. Half types are their bits as u16, named by the attribute `dtype`.
    Hdf5,
}

/// What to export, and how.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// The top-level name of the weights: `ema`, `params` or `teacher`.
    pub group: String,
    /// HDF5 or safetensors.
    pub format: Format,
    /// Convert floating-point weights to this type.
    pub cast: Option<DType>,
    /// Stands in the file for the config that the checkpoint holds.
    pub config: Option<String>,
}

impl Default for ExportOptions {
    /// The sampling EMA, as it is, to safetensors.
    fn default() -> Self {
        ExportOptions { group: "ema".to_owned(), format: Format::Safetensors, cast: None, config: None }
    }
}

/// What was exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ExportSummary {
    /// How many arrays.
    pub arrays: usize,
    /// How many bytes of data.
    pub bytes: usize,
}

/// Writes the weights of a checkpoint to `target`. `like` is the model that they belong to: it says what other programs
/// call its weights and how they lay them out. The file appears whole or not at all.
///
/// # Errors
/// [`CheckpointError::NoGroup`] if the checkpoint has no such weights, [`CheckpointError::TypeMismatch`],
/// [`CheckpointError::Missing`] or [`CheckpointError::Extra`] if they are another model's, [`CheckpointError::Checksum`]
/// if they are damaged, [`CheckpointError::CastToNonFloat`], or an error in writing.
pub fn export<T: Tree<Leaf = TensorType>>(
    checkpoint: &Checkpoint,
    like: &T,
    target: &Path,
    options: &ExportOptions,
) -> Result<ExportSummary, CheckpointError> {
    let weights = Weight::all(checkpoint, like, options)?;
    let mut metadata = checkpoint.metadata().clone();
    metadata.config = options.config.clone().unwrap_or(metadata.config);
    match options.format {
        Format::Safetensors => write_safetensors(&metadata, target, &weights)?,
        Format::Hdf5 => write_hdf5(&metadata, target, &weights)?,
    }
    let tensors = || weights.iter().flat_map(|weight| &weight.tensors);
    Ok(ExportSummary { arrays: tensors().count(), bytes: tensors().map(|(_, ty)| ty.bytes()).sum() })
}

/// A leaf of the model on its way out.
struct Weight<'c> {
    checkpoint: &'c Checkpoint,
    entry: &'c ArrayEntry,
    place: Place,
    dtype: DType,
    /// What it becomes, in the order in which the data follow each other.
    tensors: Vec<(String, TensorType)>,
}

impl<'c> Weight<'c> {
    /// All leaves, those of large elements first: so every tensor is aligned in the file.
    fn all<T: Tree<Leaf = TensorType>>(
        checkpoint: &'c Checkpoint,
        like: &T,
        options: &ExportOptions,
    ) -> Result<Vec<Self>, CheckpointError> {
        if let Some(dtype) = options.cast.filter(|dtype| !dtype.is_float()) {
            return Err(CheckpointError::CastToNonFloat { dtype });
        }
        let entries = checkpoint.weights(like, &options.group)?;
        let mut places = Vec::with_capacity(entries.len());
        like.visit(&Place::root(), &mut |place, _| places.push(place.clone()));
        let weight = |(entry, place): (&'c ArrayEntry, Place)| {
            let place = if options.format == Format::Hdf5 { Place::from(place.path()) } else { place };
            let dtype = options.cast.filter(|_| entry.ty.dtype.is_float()).unwrap_or(entry.ty.dtype);
            let tensors = place.external_types(&entry.ty.with_dtype(dtype))?;
            Ok(Weight { checkpoint, entry, place, dtype, tensors })
        };
        let mut weights = entries.into_iter().zip(places).map(weight).collect::<Result<Vec<_>, CheckpointError>>()?;
        weights.sort_by_key(|weight| std::cmp::Reverse(weight.dtype.size()));
        Ok(weights)
    }

    fn read(&self) -> Result<Vec<(String, HostArray)>, CheckpointError> {
        Ok(self.place.to_external(&self.checkpoint.read_entry(self.entry)?.convert(self.dtype))?)
    }
}

/// Weight after weight, so that no more than one of them is in memory.
fn write_safetensors(metadata: &Metadata, target: &Path, weights: &[Weight<'_>]) -> Result<(), CheckpointError> {
    let (header, data) = header(metadata, target, weights)?;
    publish(target, (8 + header.len() + data) as u64, |temporary| {
        let refuse = |source: io::Error| CheckpointError::Io { action: "write", path: target.into(), source };
        let mut file = OpenOptions::new().write(true).open(temporary).map_err(refuse)?;
        file.write_all(&(header.len() as u64).to_le_bytes()).and_then(|()| file.write_all(&header)).map_err(refuse)?;
        for weight in weights {
            for (_, tensor) in weight.read()? {
                file.write_all(tensor.bytes()).map_err(refuse)?;
            }
        }
        Ok(())
    })
}

/// The JSON before the data, padded to 8 bytes, and the length of the data.
fn header(metadata: &Metadata, target: &Path, weights: &[Weight<'_>]) -> Result<(Vec<u8>, usize), CheckpointError> {
    let (mut end, mut names, mut tensors) = (0, HashSet::new(), Vec::new());
    for (name, ty) in weights.iter().flat_map(|weight| &weight.tensors) {
        if !names.insert(name) {
            return Err(CheckpointError::NameTaken { array: name.as_str().into() });
        }
        let start = end;
        end += ty.bytes();
        let (dtype, shape) = (safetensors_dtype(ty.dtype), ty.shape.to_vec());
        tensors.push((name.clone(), TensorInfo { dtype, shape, data_offsets: (start, end) }));
    }
    // "format": the key by which Hugging Face's loaders accept a file; "pt": PyTorch's names and layouts.
    let notes = [
        ("format", "pt".to_owned()),
        ("step", metadata.step.to_string()),
        ("program", metadata.program.clone()),
        ("config", metadata.config.clone()),
    ];
    let notes: HashMap<_, _> = notes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let refuse = |source| CheckpointError::Safetensors { action: "write", path: target.into(), source };
    let header = Header::new(Some(notes), tensors).map_err(refuse)?;
    // By way of a value, whose keys are sorted: a hash map has another order in each process, and exports of one
    // checkpoint are to be equal.
    let header = serde_json::to_value(&header).map_err(|error| refuse(error.into()))?;
    let mut header = header.to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok((header, end))
}

/// All arrays at once, for libhdf5's layout comes before the data.
fn write_hdf5(metadata: &Metadata, target: &Path, weights: &[Weight<'_>]) -> Result<(), CheckpointError> {
    let mut arrays = Vec::new();
    for weight in weights {
        let named = |(name, array): (String, HostArray)| (ParamPath::from(name.replace('.', "/").as_str()), array);
        arrays.extend(weight.read()?.into_iter().map(named));
    }
    publish(target, layout::size_bound(&arrays, metadata.config.len()), |temporary| {
        let describe = |file: &hdf5_metno::File| {
            write_text(file, temporary, "schema", "twinflow-weights")?;
            write_text(file, temporary, "program", &metadata.program)?;
            write_text(file, temporary, "config", &metadata.config)?;
            file.new_attr::<u64>()
                .create("step")
                .and_then(|attr| attr.write_scalar(&metadata.step))
                .map_err(CheckpointError::hdf5("write the metadata of", temporary))
        };
        layout::write(temporary, &arrays, describe).map(drop)
    })
}

pub(crate) fn safetensors_dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::Bool => Dtype::BOOL,
        DType::U8 => Dtype::U8,
        DType::I32 => Dtype::I32,
        DType::I64 => Dtype::I64,
        DType::U32 => Dtype::U32,
        DType::U64 => Dtype::U64,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
    }
}
