//! Saving a checkpoint.

use std::path::{Path, PathBuf};

use twinflow_array::{HostArray, ParamPath, Tree};

use crate::{CheckpointError, Metadata, folder, layout, publish::publish, seal};

/// What to save and where.
#[derive(Clone, Debug)]
pub struct SaveRequest {
    /// The folder of checkpoints; it exists.
    pub folder: PathBuf,
    /// Where the state comes from.
    pub metadata: Metadata,
    /// The state: names and arrays, in the order to keep.
    pub arrays: Vec<(ParamPath, HostArray)>,
}

impl SaveRequest {
    /// A request for all leaves of `state`, whose arrays are shared, not copied.
    pub fn of_tree<T: Tree<Leaf = HostArray>>(folder: impl Into<PathBuf>, metadata: Metadata, state: &T) -> Self {
        let mut arrays = Vec::new();
        state.visit(&ParamPath::root(), &mut |path, array| arrays.push((path, array.clone())));
        SaveRequest { folder: folder.into(), metadata, arrays }
    }
}

/// Saves a checkpoint as `step-00001234.h5` and gives its path. The file appears whole or not at all; one of the same
/// step is replaced.
///
/// # Errors
/// [`CheckpointError::DiskFull`], another error of the file system, or a name that HDF5 cannot hold. Nothing is left
/// behind, and earlier checkpoints are untouched.
pub fn save(request: &SaveRequest) -> Result<PathBuf, CheckpointError> {
    let SaveRequest { folder, metadata, arrays } = request;
    let target = folder.join(folder::file_name(metadata.step));
    let needed = layout::size_bound(arrays, metadata.config.len());
    publish(&target, needed, |temporary| write(temporary, metadata, arrays))?;
    Ok(target)
}

fn write(path: &Path, metadata: &Metadata, arrays: &[(ParamPath, HostArray)]) -> Result<(), CheckpointError> {
    let extents = layout::write(path, arrays, |file| metadata.write(file, path))?;
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path);
    file.and_then(|file| seal::append(&file, extents)).map_err(CheckpointError::io("write", path))
}
