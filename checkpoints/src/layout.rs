//! How arrays lie in an HDF5 file: contiguous datasets whose bytes are written and read directly.

use std::{
    collections::HashSet,
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
};

use hdf5_metno::{
    Dataset, File, Group, LocationType,
    dataset::{AllocTime, FillTime, Layout},
    types::{FloatSize, IntSize, TypeDescriptor, VarLenUnicode},
};
use twinflow_array::{DType, HostArray, ParamPath, TensorType};
use twinflow_hdf5::{read_text, without_locks};

use crate::{ArrayEntry, CheckpointError, trailer::Extent};

// Arrays' bytes go to the file as they are in memory, and the schema is little-endian.
const _: () = assert!(cfg!(target_endian = "little"), "checkpoints are written on little-endian machines only");

/// How HDF5 stores an element type. It has no bfloat16, so both half types are their bits, named by the attribute
/// `dtype`.
fn storage(dtype: DType) -> TypeDescriptor {
    match dtype {
        DType::Bool | DType::U8 => TypeDescriptor::Unsigned(IntSize::U1),
        DType::F16 | DType::BF16 => TypeDescriptor::Unsigned(IntSize::U2),
        DType::U32 => TypeDescriptor::Unsigned(IntSize::U4),
        DType::U64 => TypeDescriptor::Unsigned(IntSize::U8),
        DType::I32 => TypeDescriptor::Integer(IntSize::U4),
        DType::I64 => TypeDescriptor::Integer(IntSize::U8),
        DType::F32 => TypeDescriptor::Float(FloatSize::U4),
        DType::F64 => TypeDescriptor::Float(FloatSize::U8),
    }
}

/// An upper bound of the size of a file with these arrays and this much text.
pub(crate) fn size_bound(arrays: &[(ParamPath, HostArray)], text: usize) -> u64 {
    let data: usize = arrays.iter().map(|(_, array)| array.ty().bytes()).sum();
    // Object headers and a group per segment take under 4 KiB per array; HDF5 reserves some space in advance.
    (data + 4096 * arrays.len() + text + (64 << 10)) as u64
}

/// Writes a new HDF5 file of these arrays, with what `describe` adds to its root, and says where their data lie.
///
/// # Errors
/// The system's or libhdf5's; the file is then incomplete.
pub(crate) fn write(
    path: &Path,
    arrays: &[(ParamPath, HostArray)],
    describe: impl FnOnce(&File) -> Result<(), CheckpointError>,
) -> Result<Vec<Extent>, CheckpointError> {
    check_names(arrays)?;
    let extents = reserve(path, arrays, describe)?;
    let file = OpenOptions::new().write(true).open(path).map_err(CheckpointError::io("write", path))?;
    for ((_, array), extent) in arrays.iter().zip(&extents) {
        file.write_all_at(array.bytes(), extent.offset).map_err(CheckpointError::io("write", path))?;
    }
    Ok(extents)
}

/// Makes the file with all its structure, and room for the arrays' data.
fn reserve(
    path: &Path,
    arrays: &[(ParamPath, HostArray)],
    describe: impl FnOnce(&File) -> Result<(), CheckpointError>,
) -> Result<Vec<Extent>, CheckpointError> {
    hdf5_metno::silence_errors(true);
    let file = without_locks().create(path).map_err(CheckpointError::hdf5("create", path))?;
    let written = describe(&file).and_then(|()| {
        arrays
            .iter()
            .enumerate()
            .map(|(order, (name, array))| create_dataset(&file, path, order, name, array))
            .collect()
    });
    let closed = file.flush().and(file.close()).map_err(CheckpointError::hdf5("write", path));
    let extents = written?;
    closed.map(|()| extents)
}

fn create_dataset(
    file: &File,
    path: &Path,
    order: usize,
    name: &ParamPath,
    array: &HostArray,
) -> Result<Extent, CheckpointError> {
    let create = || -> hdf5_metno::Result<Extent> {
        let dataset = file
            .new_dataset_builder()
            .layout(Layout::Contiguous)
            .alloc_time(Some(AllocTime::Early))
            .fill_time(FillTime::Never)
            .empty_as(storage(array.dtype()))
            .shape(array.shape().dims())
            .create(name.as_str())?;
        let dtype: VarLenUnicode = array.dtype().name().parse().expect("names of element types hold no zero byte");
        dataset.new_attr::<VarLenUnicode>().create("dtype")?.write_scalar(&dtype)?;
        dataset.new_attr::<u32>().create("checksum")?.write_scalar(&crc32fast::hash(array.bytes()))?;
        dataset.new_attr::<u64>().create("order")?.write_scalar(&(order as u64))?;
        Ok(Extent { offset: dataset.offset().unwrap_or(0), len: array.ty().bytes() as u64 })
    };
    create().map_err(CheckpointError::hdf5("write an array to", path))
}

/// Names must be paths in HDF5, each its own, and none the group of another.
fn check_names(arrays: &[(ParamPath, HostArray)]) -> Result<(), CheckpointError> {
    let mut taken = HashSet::new();
    for (array, _) in arrays {
        let bad = |segment: &str| segment.is_empty() || segment == "." || segment == ".." || segment.contains('\0');
        if array.as_str().split('/').any(bad) {
            return Err(CheckpointError::BadName { array: array.clone() });
        }
        if !taken.insert(array.as_str()) {
            return Err(CheckpointError::NameTaken { array: array.clone() });
        }
    }
    let is_inside_another = |name: &str| name.match_indices('/').any(|(end, _)| taken.contains(&name[..end]));
    let inside = arrays.iter().find(|(array, _)| is_inside_another(array.as_str()));
    inside.map_or(Ok(()), |(array, _)| Err(CheckpointError::NameTaken { array: array.clone() }))
}

/// The arrays of a file, in the order in which they were given to [`write`].
pub(crate) fn read_entries(file: &File, path: &Path) -> Result<Vec<ArrayEntry>, CheckpointError> {
    let mut found = Vec::new();
    collect(file, &ParamPath::root(), path, &mut found)?;
    found.sort_by_key(|(order, _)| *order);
    Ok(found.into_iter().map(|(_, entry)| entry).collect())
}

fn collect(
    group: &Group,
    at: &ParamPath,
    path: &Path,
    found: &mut Vec<(u64, ArrayEntry)>,
) -> Result<(), CheckpointError> {
    let refuse = || CheckpointError::hdf5("list the arrays of", path);
    for name in group.member_names().map_err(refuse())? {
        let below = at.join(&name);
        match group.loc_type_by_name(&name).map_err(refuse())? {
            LocationType::Group => collect(&group.group(&name).map_err(refuse())?, &below, path, found)?,
            LocationType::Dataset => found.push(entry(&group.dataset(&name).map_err(refuse())?, below, path)?),
            _ => {}
        }
    }
    Ok(())
}

fn entry(dataset: &Dataset, array: ParamPath, path: &Path) -> Result<(u64, ArrayEntry), CheckpointError> {
    let read = || -> hdf5_metno::Result<(String, u32, u64)> {
        Ok((
            read_text(dataset, "dtype")?,
            dataset.attr("checksum")?.read_scalar()?,
            dataset.attr("order")?.read_scalar()?,
        ))
    };
    let (dtype, checksum, order) = read().map_err(CheckpointError::hdf5("list the arrays of", path))?;
    let dtype = dtype.parse().map_err(|source| CheckpointError::UnknownDType {
        path: path.into(),
        array: array.clone(),
        source,
    })?;
    let ty = TensorType::new(dtype, dataset.shape());
    let extent = Extent { offset: dataset.offset().unwrap_or(0), len: ty.bytes() as u64 };
    Ok((order, ArrayEntry { path: array, ty, checksum, extent }))
}

/// Reads one array's data and checks them.
pub(crate) fn read_array(file: &fs::File, path: &Path, entry: &ArrayEntry) -> Result<HostArray, CheckpointError> {
    let mut array = HostArray::zeros(entry.ty.clone());
    file.read_exact_at(array.bytes_mut(), entry.extent.offset).map_err(CheckpointError::io("read", path))?;
    entry.check(path, crc32fast::hash(array.bytes()))?;
    Ok(array)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_and_read_whoever_holds_a_lock() {
        let arrays = [(ParamPath::from("a"), HostArray::scalar(1.5f32))];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("held.h5");
        let held = fs::File::create(&path).unwrap();
        held.lock().unwrap();
        write(&path, &arrays, |_| Ok(())).unwrap();
        let file = without_locks().open(&path).unwrap();
        assert_eq!(read_entries(&file, &path).unwrap().len(), 1);
    }
}
