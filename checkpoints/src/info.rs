//! A checkpoint in words.

use std::{fmt, path::PathBuf};

use serde::Serialize;

use crate::{Checkpoint, Metadata, SCHEMA, SCHEMA_VERSION, checkpoint::top_level};

/// How much lies below one top-level name: `params`, `ema`, `optimizer`, `step`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct GroupSummary {
    pub name: String,
    pub arrays: usize,
    pub elements: usize,
    pub bytes: usize,
    /// Sorted, each once.
    pub dtypes: Vec<&'static str>,
}

/// What a checkpoint holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Info {
    pub path: PathBuf,
    pub metadata: Metadata,
    /// In the order of the file.
    pub groups: Vec<GroupSummary>,
}

impl Checkpoint {
    /// What this checkpoint holds.
    pub fn info(&self) -> Info {
        let groups = self.groups().into_iter().map(|name| self.summary(name)).collect();
        Info { path: self.path().into(), metadata: self.metadata().clone(), groups }
    }

    fn summary(&self, name: String) -> GroupSummary {
        let types: Vec<_> =
            self.arrays().iter().filter(|entry| top_level(&entry.path) == name).map(|entry| &entry.ty).collect();
        let mut dtypes: Vec<_> = types.iter().map(|ty| ty.dtype.name()).collect();
        dtypes.sort_unstable();
        dtypes.dedup();
        GroupSummary {
            name,
            arrays: types.len(),
            elements: types.iter().map(|ty| ty.shape.elements()).sum(),
            bytes: types.iter().map(|ty| ty.bytes()).sum(),
            dtypes,
        }
    }
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Metadata { step, phase, config, program, world_size, tokenizer, created } = &self.metadata;
        writeln!(f, "{}", self.path.display())?;
        writeln!(f, "schema      {SCHEMA} version {SCHEMA_VERSION}")?;
        writeln!(f, "step        {step}")?;
        writeln!(f, "phase       {phase}")?;
        writeln!(f, "program     {program}")?;
        writeln!(f, "world size  {world_size}")?;
        if let Some(tokenizer) = tokenizer {
            let (checksum, bytes) = (crc32fast::hash(tokenizer.as_bytes()), tokenizer.len());
            writeln!(f, "tokenizer   {checksum:08x}, a tokenizer.json of {bytes} bytes")?;
        }
        writeln!(f, "created     {created} (seconds since 1970)")?;
        writeln!(f, "{:<12}{:>8}{:>16}{:>16}  types", "group", "arrays", "elements", "bytes")?;
        for GroupSummary { name, arrays, elements, bytes, dtypes } in &self.groups {
            writeln!(f, "{name:<12}{arrays:>8}{elements:>16}{bytes:>16}  {}", dtypes.join(" "))?;
        }
        write!(f, "config\n{}", config.trim_end())
    }
}
