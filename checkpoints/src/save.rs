//! Saving a checkpoint.

use std::path::{Path, PathBuf};

use twinflow_array::{HostArray, ParamPath, Tree, leaves, paths};

use crate::{CheckpointError, Metadata, folder, layout, publish::publish, trailer};

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
        SaveRequest { folder: folder.into(), metadata, arrays: named_arrays(state) }
    }
}

/// The leaves of a tree with their paths, in order; the arrays are shared, not copied.
pub fn named_arrays<T: Tree<Leaf = HostArray>>(tree: &T) -> Vec<(ParamPath, HostArray)> {
    paths(tree).into_iter().zip(leaves(tree).into_iter().cloned()).collect()
}

/// Saves a checkpoint as `step-00001234.h5` and gives its path. The file appears whole or not at all; one of the same
/// step is replaced.
///
/// # Errors
/// [`CheckpointError::DiskFull`], another error of the file system, or a name that HDF5 cannot hold. Nothing is left
/// behind, and earlier checkpoints are untouched.
pub fn save(request: &SaveRequest) -> Result<PathBuf, CheckpointError> {
    let target = request.folder.join(folder::file_name(request.metadata.step));
    save_as(&target, &request.metadata, &request.arrays)?;
    Ok(target)
}

/// Saves arrays under any file name, in the format of a checkpoint. The file appears whole or not at all.
///
/// # Errors
/// As [`save`].
pub fn save_as(target: &Path, metadata: &Metadata, arrays: &[(ParamPath, HostArray)]) -> Result<(), CheckpointError> {
    let text = metadata.config.len() + metadata.tokenizer.as_ref().map_or(0, String::len);
    let needed = layout::size_bound(arrays, text);
    publish(target, needed, |temporary| write(temporary, metadata, arrays))
}

fn write(path: &Path, metadata: &Metadata, arrays: &[(ParamPath, HostArray)]) -> Result<(), CheckpointError> {
    let extents = layout::write(path, arrays, |file| metadata.write(file, path))?;
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path);
    file.and_then(|file| trailer::append(&file, extents)).map_err(CheckpointError::io("write", path))
}

#[cfg(test)]
mod tests {
    use std::{env, path::Path, process::Command};

    use twinflow_array::TensorType;

    use super::*;

    const FOLDER: &str = "TWINFLOW_TEST_TINY_DISK";

    #[test]
    fn attempt() {
        // The next test runs this one again, on a tiny disk.
        let Some(folder) = env::var_os(FOLDER) else { return };
        let target = Path::new(&folder).join("step-00000001.h5");
        let metadata = Metadata { step: 1, world_size: 1, ..Metadata::default() };
        let arrays = [(ParamPath::from("large"), HostArray::zeros(TensorType::f32([1 << 20])))];
        // As if another program took the space between the look at the disk and the writing: 0 bytes are needed.
        let result = publish(&target, 0, |temporary| write(temporary, &metadata, &arrays));
        assert!(matches!(result, Err(CheckpointError::DiskFull { .. })), "{result:?}");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "the unfinished file is gone");
    }

    #[test]
    fn a_disk_that_fills_up_while_data_are_written_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let script = "mount -t tmpfs -o size=1m tmpfs \"$1\" && exec \"$0\" --exact save::tests::attempt";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-c", script]).arg(env::current_exe().unwrap());
        let output = command.arg(folder.path()).env(FOLDER, folder.path()).output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && stdout.contains("1 passed"), "{output:?}");
    }
}
