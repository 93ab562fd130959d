//! Weights from other programs.

use std::{collections::BTreeSet, path::Path};

use safetensors::{SafeTensors, tensor::TensorView};
use twinflow_array::{DType, HostArray, ParamPath, Place, TensorType, Tree, unflatten};

use crate::{CheckpointError, export::safetensors_dtype, stacking::parts};

/// Reads weights from a safetensors file into the structure of `like`, stacking layers: the inverse of
/// [`export`](crate::export()).
///
/// # Errors
/// [`CheckpointError::TypeMismatch`], [`CheckpointError::Missing`] or [`CheckpointError::Extra`] names the first tensor
/// that differs; [`CheckpointError::Safetensors`] if the file is none.
pub fn import_safetensors<T: Tree<Leaf = TensorType>>(
    path: &Path,
    like: &T,
) -> Result<T::Rebind<HostArray>, CheckpointError> {
    let bytes = std::fs::read(path).map_err(CheckpointError::io("read", path))?;
    let refuse = |source| CheckpointError::Safetensors { action: "read", path: path.into(), source };
    let file = SafeTensors::deserialize(&bytes).map_err(refuse)?;
    let mut unused: BTreeSet<&str> = file.names().into_iter().collect();
    let mut expected = Vec::new();
    like.visit(&Place::root(), &mut |place, ty| expected.push((place.path().clone(), ty)));
    let mut arrays = Vec::with_capacity(expected.len());
    for (name, ty) in expected {
        let (names, part) = parts(&name, ty)?;
        let mut array = HostArray::zeros(ty.clone());
        for (index, name) in names.iter().enumerate() {
            unused.remove(name.as_str());
            let bytes = data(&file, path, name, &part)?;
            array.bytes_mut()[index * part.bytes()..][..part.bytes()].copy_from_slice(bytes);
        }
        arrays.push(array);
    }
    match unused.first() {
        None => Ok(unflatten(like, arrays)),
        Some(name) => {
            let found = type_of(&file.tensor(name).map_err(refuse)?, path, name)?;
            Err(CheckpointError::Extra { path: path.into(), array: ParamPath::from(*name), found })
        }
    }
}

/// The bytes of one tensor, which must have the type expected.
fn data<'f>(
    file: &SafeTensors<'f>,
    path: &Path,
    name: &str,
    expected: &TensorType,
) -> Result<&'f [u8], CheckpointError> {
    let (array, expected) = (ParamPath::from(name), expected.clone());
    let Ok(view) = file.tensor(name) else {
        return Err(CheckpointError::Missing { path: path.into(), array, expected });
    };
    let found = type_of(&view, path, name)?;
    if found == expected {
        Ok(view.data())
    } else {
        Err(CheckpointError::TypeMismatch { path: path.into(), array, found, expected })
    }
}

fn type_of(view: &TensorView<'_>, path: &Path, name: &str) -> Result<TensorType, CheckpointError> {
    match DType::ALL.into_iter().find(|dtype| safetensors_dtype(*dtype) == view.dtype()) {
        Some(dtype) => Ok(TensorType::new(dtype, view.shape())),
        None => Err(CheckpointError::ForeignDType { path: path.into(), array: name.into(), found: view.dtype() }),
    }
}
