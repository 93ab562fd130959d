//! Weights for other programs.

use std::{borrow::Cow, collections::HashMap, path::Path};

use safetensors::{Dtype, SafeTensorError, View};
use serde::Serialize;
use twinflow_array::{DType, HostArray, ParamPath};

use crate::{Checkpoint, CheckpointError, layout, metadata::write_text, publish::publish, stacking::unstack};

/// The kind of file to export to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Hugging Face's safetensors: `blocks.0.attn.qkv.weight`.
    Safetensors,
    /// Plain HDF5, groups for segments: `blocks/0/attn/qkv/weight`. Half types are their bits as u16, named by the
    /// attribute `dtype`.
    Hdf5,
}

/// What to export, and how.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// The top-level name of the weights: `ema`, `params` or `teacher`.
    pub group: String,
    /// The kind of file.
    pub format: Format,
    /// Convert floating-point weights to this type.
    pub cast: Option<DType>,
}

impl Default for ExportOptions {
    /// The sampling EMA, as it is, to safetensors.
    fn default() -> Self {
        ExportOptions { group: "ema".to_owned(), format: Format::Safetensors, cast: None }
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

/// Writes the weights of a checkpoint to `target`, each layer of stacked parameters by itself. The file appears whole
/// or not at all.
///
/// # Errors
/// [`CheckpointError::NoGroup`] if the checkpoint has no such weights, [`CheckpointError::Checksum`] if they are
/// damaged, [`CheckpointError::CastToNonFloat`], or an error in writing.
pub fn export(
    checkpoint: &Checkpoint,
    target: &Path,
    options: &ExportOptions,
) -> Result<ExportSummary, CheckpointError> {
    let weights = weights(checkpoint, options)?;
    let summary =
        ExportSummary { arrays: weights.len(), bytes: weights.iter().map(|(_, array)| array.ty().bytes()).sum() };
    match options.format {
        Format::Safetensors => write_safetensors(checkpoint, target, weights)?,
        Format::Hdf5 => write_hdf5(checkpoint, target, weights)?,
    }
    Ok(summary)
}

/// The weights to write, unstacked, with dots in their names.
fn weights(checkpoint: &Checkpoint, options: &ExportOptions) -> Result<Vec<(String, HostArray)>, CheckpointError> {
    if let Some(dtype) = options.cast.filter(|dtype| !dtype.is_float()) {
        return Err(CheckpointError::CastToNonFloat { dtype });
    }
    let mut weights = Vec::new();
    for (path, array) in checkpoint.read_group(&options.group)? {
        let array = match options.cast {
            Some(dtype) if array.dtype().is_float() => array.convert(dtype),
            _ => array,
        };
        weights.extend(unstack(&path, &array)?);
    }
    Ok(weights)
}

/// An array as safetensors sees it.
struct Viewed(HostArray);

impl View for Viewed {
    fn dtype(&self) -> Dtype {
        safetensors_dtype(self.0.dtype())
    }
    fn shape(&self) -> &[usize] {
        self.0.shape()
    }
    fn data(&self) -> Cow<'_, [u8]> {
        self.0.bytes().into()
    }
    fn data_len(&self) -> usize {
        self.0.ty().bytes()
    }
}

/// The name of an element type in safetensors.
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

fn write_safetensors(
    checkpoint: &Checkpoint,
    target: &Path,
    weights: Vec<(String, HostArray)>,
) -> Result<(), CheckpointError> {
    let metadata = checkpoint.metadata();
    // "format": the key by which Hugging Face's loaders accept a file; "pt" says row-major dims in PyTorch's order.
    let notes = [
        ("format", "pt".to_owned()),
        ("step", metadata.step.to_string()),
        ("program", metadata.program.clone()),
        ("config", metadata.config.clone()),
    ];
    let notes: HashMap<_, _> = notes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let text = metadata.config.len() + weights.iter().map(|(name, _)| name.len() + 128).sum::<usize>();
    let data: usize = weights.iter().map(|(_, array)| array.ty().bytes()).sum();
    publish(target, (data + text) as u64, |temporary| {
        let views = weights.into_iter().map(|(name, array)| (name, Viewed(array)));
        safetensors::serialize_to_file(views, Some(notes), temporary).map_err(|error| match error {
            SafeTensorError::IoError(source) => CheckpointError::io("write", target)(source),
            source => CheckpointError::Safetensors { action: "write", path: target.into(), source },
        })
    })
}

fn write_hdf5(
    checkpoint: &Checkpoint,
    target: &Path,
    weights: Vec<(String, HostArray)>,
) -> Result<(), CheckpointError> {
    let metadata = checkpoint.metadata();
    let named = |(name, array): (String, HostArray)| (ParamPath::from(name.replace('.', "/").as_str()), array);
    let arrays: Vec<_> = weights.into_iter().map(named).collect();
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
