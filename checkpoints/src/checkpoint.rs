//! An opened checkpoint.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use twinflow_array::{HostArray, ParamPath, TensorType, Tree, leaves, paths, unflatten};
use twinflow_hdf5::without_locks;

use crate::{CheckpointError, Metadata, layout, trailer, trailer::Extent};

/// One array of a checkpoint, without its data.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct ArrayEntry {
    pub path: ParamPath,
    pub ty: TensorType,
    /// CRC-32 of its bytes, as written.
    pub checksum: u32,
    pub(crate) extent: Extent,
}

impl ArrayEntry {
    pub(crate) fn check(&self, path: &Path, computed: u32) -> Result<(), CheckpointError> {
        let (array, stored) = (self.path.clone(), self.checksum);
        if stored == computed {
            Ok(())
        } else {
            Err(CheckpointError::Checksum { path: path.into(), array, stored, computed })
        }
    }
}

/// A checkpoint whose metadata are read and whose structure is known to be whole; array data are read, and checked, on
/// demand. It holds no open HDF5 file.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    file: fs::File,
    metadata: Metadata,
    arrays: Vec<ArrayEntry>,
}

impl Checkpoint {
    /// Opens a checkpoint file.
    ///
    /// # Errors
    /// If it cannot be read, is no checkpoint, is cut short, or is damaged outside its arrays' data.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        let path = path.as_ref();
        let file = fs::File::open(path).map_err(CheckpointError::io("open", path))?;
        trailer::check(&file, path)?;
        hdf5_metno::silence_errors(true);
        let hdf5 = without_locks().open(path).map_err(CheckpointError::hdf5("open", path))?;
        let metadata = Metadata::read(&hdf5, path)?;
        let arrays = layout::read_entries(&hdf5, path)?;
        Ok(Checkpoint { path: path.into(), file, metadata, arrays })
    }

    /// As it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where it comes from.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The names and types of its arrays, in the order in which they were saved.
    pub fn arrays(&self) -> &[ArrayEntry] {
        &self.arrays
    }

    /// Its top-level names (`params`, `ema`, `step`), each once, in order.
    pub fn groups(&self) -> Vec<String> {
        let mut groups: Vec<String> = Vec::new();
        for entry in &self.arrays {
            let group = top_level(&entry.path);
            if !groups.iter().any(|known| known == group) {
                groups.push(group.to_owned());
            }
        }
        groups
    }

    /// Reads one array.
    ///
    /// # Errors
    /// [`CheckpointError::NoArray`] if there is none of that name, [`CheckpointError::Checksum`] if it is damaged.
    pub fn read(&self, array: &ParamPath) -> Result<HostArray, CheckpointError> {
        let entry = self.arrays.iter().find(|entry| &entry.path == array);
        let entry = entry.ok_or_else(|| CheckpointError::NoArray { path: self.path.clone(), array: array.clone() })?;
        self.read_entry(entry)
    }

    /// Reads all arrays, in order.
    ///
    /// # Errors
    /// [`CheckpointError::Checksum`] if one is damaged.
    pub fn read_all(&self) -> Result<Vec<(ParamPath, HostArray)>, CheckpointError> {
        self.arrays.iter().map(|entry| Ok((entry.path.clone(), self.read_entry(entry)?))).collect()
    }

    /// Reads the arrays at and below `prefix` into the structure of `like`, whose leaves are the types expected.
    /// The root as prefix restores a whole state; `ema` only those weights.
    ///
    /// # Errors
    /// [`CheckpointError::TypeMismatch`], [`CheckpointError::Missing`] or [`CheckpointError::Extra`] names the first
    /// array that differs, before any data are read; [`CheckpointError::Checksum`] a damaged one.
    pub fn restore_into<T: Tree<Leaf = TensorType>>(
        &self,
        like: &T,
        prefix: &ParamPath,
    ) -> Result<T::Rebind<HostArray>, CheckpointError> {
        let expected = paths(like).iter().map(|path| prefix.join(path)).zip(leaves(like)).collect();
        self.read_like(like, self.matching(expected, prefix)?)
    }

    /// Reads all parameters of a model: those of `group` (`ema`), and from `params` those that it lacks. They were
    /// frozen, so that no average was kept of them.
    ///
    /// # Errors
    /// [`CheckpointError::NoGroup`] if nothing has that name; else as [`Checkpoint::restore_into`].
    pub fn restore_weights<T: Tree<Leaf = TensorType>>(
        &self,
        like: &T,
        group: &str,
    ) -> Result<T::Rebind<HostArray>, CheckpointError> {
        self.read_like(like, self.weights(like, group)?)
    }

    /// The entries that [`Checkpoint::restore_weights`] reads, in the order of `like`.
    pub(crate) fn weights<T: Tree<Leaf = TensorType>>(
        &self,
        like: &T,
        group: &str,
    ) -> Result<Vec<&ArrayEntry>, CheckpointError> {
        let known = self.groups();
        if !known.iter().any(|known| known == group) {
            return Err(CheckpointError::NoGroup { path: self.path.clone(), group: group.to_owned(), known });
        }
        let (own, all) = (ParamPath::from(group), ParamPath::from("params"));
        let held: HashSet<&ParamPath> = self.arrays.iter().map(|entry| &entry.path).collect();
        let place = |name: &ParamPath| {
            let [own, all] = [&own, &all].map(|group| group.join(name));
            if !held.contains(&own) && held.contains(&all) { all } else { own }
        };
        self.matching(paths(like).iter().map(place).zip(leaves(like)).collect(), &own)
    }

    fn read_like<T: Tree<Leaf = TensorType>>(
        &self,
        like: &T,
        entries: Vec<&ArrayEntry>,
    ) -> Result<T::Rebind<HostArray>, CheckpointError> {
        let arrays = entries.into_iter().map(|entry| self.read_entry(entry)).collect::<Result<Vec<_>, _>>()?;
        Ok(unflatten(like, arrays))
    }

    /// The entries of the arrays expected, in order; there must be no others below `prefix`.
    fn matching(
        &self,
        expected: Vec<(ParamPath, &TensorType)>,
        prefix: &ParamPath,
    ) -> Result<Vec<&ArrayEntry>, CheckpointError> {
        let mut unused: HashMap<&str, &ArrayEntry> =
            self.arrays.iter().map(|entry| (entry.path.as_str(), entry)).collect();
        let take = |(array, expected): (ParamPath, &TensorType)| {
            let path = self.path.clone();
            match unused.remove(array.as_str()) {
                None => Err(CheckpointError::Missing { path, array, expected: expected.clone() }),
                Some(entry) if &entry.ty != expected => {
                    let (found, expected) = (entry.ty.clone(), expected.clone());
                    Err(CheckpointError::TypeMismatch { path, array, found, expected })
                }
                Some(entry) => Ok(entry),
            }
        };
        let entries = expected.into_iter().map(take).collect::<Result<Vec<_>, _>>()?;
        let extra = |entry: &&ArrayEntry| unused.contains_key(entry.path.as_str()) && is_below(&entry.path, prefix);
        match self.arrays.iter().find(extra) {
            None => Ok(entries),
            Some(ArrayEntry { path: array, ty: found, .. }) => {
                Err(CheckpointError::Extra { path: self.path.clone(), array: array.clone(), found: found.clone() })
            }
        }
    }

    /// CRC-32 of an array's data as they are in the file now.
    pub(crate) fn checksum(&self, entry: &ArrayEntry) -> Result<u32, CheckpointError> {
        trailer::checksum_of(&self.file, entry.extent).map_err(CheckpointError::io("read", &self.path))
    }

    pub(crate) fn read_entry(&self, entry: &ArrayEntry) -> Result<HostArray, CheckpointError> {
        layout::read_array(&self.file, &self.path, entry)
    }
}

pub(crate) fn top_level(path: &ParamPath) -> &str {
    path.as_str().split('/').next().unwrap_or_default()
}

fn is_below(path: &ParamPath, prefix: &ParamPath) -> bool {
    let rest = path.as_str().strip_prefix(prefix.as_str());
    prefix.as_str().is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
