//! What a checkpoint says about itself: HDF5 attributes of the file's root.

use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use hdf5_metno::{File, types::VarLenUnicode};
use serde::Serialize;
use twinflow_hdf5::read_text;

use crate::CheckpointError;

/// The schema's name, in the attribute `schema`.
pub const SCHEMA: &str = "twinflow-checkpoint";
/// The schema's version, in the attribute `schema_version`.
pub const SCHEMA_VERSION: u32 = 1;

/// Where a checkpoint comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// Training steps done.
    pub step: u64,
    /// Name of the training phase.
    pub phase: String,
    /// The run's resolved config, TOML.
    pub config: String,
    /// Name and version of the program.
    pub program: String,
    /// Number of ranks that trained; restoring into another number is fine, for the state is the same on all.
    pub world_size: u64,
    /// The tokenizer of its prompts, a tokenizer.json, where it reads prompts as tokens.
    #[serde(skip)]
    pub tokenizer: Option<String>,
    /// When it was made, in seconds since 1970 (UTC).
    pub created: u64,
}

impl Metadata {
    /// The time now, for [`Metadata::created`].
    pub fn now() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    /// Writes the attributes of a checkpoint.
    pub(crate) fn write(&self, file: &File, path: &Path) -> Result<(), CheckpointError> {
        write_text(file, path, "schema", SCHEMA)?;
        write_text(file, path, "phase", &self.phase)?;
        write_text(file, path, "config", &self.config)?;
        write_text(file, path, "program", &self.program)?;
        if let Some(tokenizer) = &self.tokenizer {
            write_text(file, path, "tokenizer", tokenizer)?;
        }
        let numbers = [("step", self.step), ("world_size", self.world_size), ("created", self.created)];
        (|| {
            file.new_attr::<u32>().create("schema_version")?.write_scalar(&SCHEMA_VERSION)?;
            numbers.iter().try_for_each(|(name, value)| file.new_attr::<u64>().create(*name)?.write_scalar(value))
        })()
        .map_err(CheckpointError::hdf5("write the metadata of", path))
    }

    /// Reads and checks the attributes of a checkpoint.
    pub(crate) fn read(file: &File, path: &Path) -> Result<Self, CheckpointError> {
        let refuse = || CheckpointError::hdf5("read the metadata of", path);
        let text = |name: &str| read_text(file, name).map_err(refuse());
        let number = |name: &str| file.attr(name).and_then(|attr| attr.read_scalar::<u64>()).map_err(refuse());
        let schema = text("schema")?;
        if schema != SCHEMA {
            return Err(CheckpointError::Schema { path: path.into(), found: schema });
        }
        let version = file.attr("schema_version").and_then(|attr| attr.read_scalar::<u32>()).map_err(refuse())?;
        if version > SCHEMA_VERSION {
            return Err(CheckpointError::SchemaVersion { path: path.into(), found: version });
        }
        Ok(Metadata {
            step: number("step")?,
            phase: text("phase")?,
            config: text("config")?,
            program: text("program")?,
            world_size: number("world_size")?,
            tokenizer: file.attr("tokenizer").is_ok().then(|| text("tokenizer")).transpose()?,
            created: number("created")?,
        })
    }
}

/// Writes one text attribute of the file's root, of variable length: a config may be longer than what fits into one of
/// fixed length.
pub(crate) fn write_text(file: &File, path: &Path, field: &'static str, text: &str) -> Result<(), CheckpointError> {
    let value: VarLenUnicode = text.parse().map_err(|_| CheckpointError::ZeroByte { field })?;
    file.new_attr::<VarLenUnicode>()
        .create(field)
        .and_then(|attr| attr.write_scalar(&value))
        .map_err(CheckpointError::hdf5("write the metadata of", path))
}
