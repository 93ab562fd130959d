//! Checkpoints: the whole training state in one HDF5 file, and weights exported from it.
//!
//! A checkpoint is an ordered list of named arrays plus [`Metadata`]; which arrays make up a training state is the
//! caller's business. Every array is a contiguous little-endian dataset at its [`ParamPath`](twinflow_array::ParamPath)
//! (`params/blocks/*/attn/qkv/weight`), so any HDF5 tool reads it. The file ends in a [trailer](self#the-trailer).
//!
//! # The trailer
//! HDF5 notices little of what happens to a file at rest: flipped bits in data pass silently, and flipped bits in its
//! headers can pass, lose datasets, or send the library into a crash or an endless loop (version 1.10.8: 3 of 400 files
//! with one flipped bit). So each array's CRC-32 is an attribute of its dataset, and the bytes *between* the arrays'
//! data (headers, attributes, links) have a CRC-32 of their own, in a trailer behind the HDF5 data, where HDF5 tools
//! ignore it. Opening a checkpoint checks the trailer and the structure before libhdf5 sees the file, at a cost that
//! does not grow with the model; reading an array checks its data. Together they cover every bit of the file. It is a
//! guard against accidents, not against forgery.
//!
//! # Full disks
//! libhdf5 lays the file out but writes no array data: they are written straight to the places that it reserved. A
//! disk that fills up so meets an ordinary file write, with an ordinary error, and no open HDF5 file.

mod checkpoint;
mod error;
mod export;
mod folder;
mod import;
mod info;
mod layout;
mod metadata;
mod publish;
mod retention;
mod save;
mod trailer;
mod verify;

pub use checkpoint::{ArrayEntry, Checkpoint};
pub use error::CheckpointError;
pub use export::{ExportOptions, ExportSummary, Format, export};
pub use folder::{list, newest_valid, resolve};
pub use import::{Misfit, import_safetensors};
pub use info::{GroupSummary, Info};
pub use metadata::{Metadata, SCHEMA, SCHEMA_VERSION};
pub use retention::Retention;
pub use save::{SaveRequest, named_arrays, save, save_as};
pub use verify::{Damage, VerifyReport, verify};
