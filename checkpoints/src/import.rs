//! Weights from other programs.

use std::{collections::BTreeSet, fs::File, path::Path};

use memmap2::Mmap;
use safetensors::{SafeTensors, tensor::TensorView};
use twinflow_array::{DType, HostArray, Place, TensorType, Tree, unflatten};

use crate::{CheckpointError, export::safetensors_dtype};

/// What does not fit between a file and a model; types of the file as text, for it may have element types that this
/// program lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each message says what its fields are")]
pub enum Misfit {
    #[error("lacks {name}, which this model needs as {expected}")]
    Missing { name: String, expected: TensorType },
    #[error("has {name} {found}, which this model lacks")]
    Unexpected { name: String, found: String },
    /// Of another shape, or of an element type that is not converted: only floating-point ones are.
    #[error("has {name} {found}, this model needs {name} {expected}")]
    Type { name: String, found: String, expected: TensorType },
}

/// Reads weights from a safetensors file into the structure of `like`, whose places say what others call its leaves and
/// how they lay them out: the inverse of [`export`](crate::export()). Floating-point tensors are rounded to the model's
/// element types. The file is mapped, and goes into memory tensor by tensor.
///
/// # Errors
/// [`CheckpointError::Unfit`] names all tensors that are missing, unexpected or of another type;
/// [`CheckpointError::Safetensors`] if the file is none.
pub fn import_safetensors<T: Tree<Leaf = TensorType>>(
    path: &Path,
    like: &T,
) -> Result<T::Rebind<HostArray>, CheckpointError> {
    let refuse = |source| CheckpointError::Safetensors { action: "read", path: path.into(), source };
    let file = File::open(path).map_err(CheckpointError::io("open", path))?;
    // SAFETY: the map is read as bytes alone and every copied value is a valid number, so that a file which another
    // process rewrites meanwhile gives wrong weights; one that it cuts short ends this process, as with any mapped file.
    let map = unsafe { Mmap::map(&file) }.map_err(CheckpointError::io("map", path))?;
    let file = SafeTensors::deserialize(&map).map_err(refuse)?;
    let mut leaves = Vec::new();
    like.visit(&Place::root(), &mut |place, ty| leaves.push((place.clone(), ty)));
    let misfits = misfits(&file, &leaves)?;
    if !misfits.is_empty() {
        return Err(CheckpointError::Unfit { path: path.into(), misfits });
    }
    let read = |name: &str, ty: &TensorType| {
        let tensor = file.tensor(name).map_err(refuse)?;
        let found = known_type(&tensor).expect("compared with the type expected before");
        Ok::<_, CheckpointError>(HostArray::from_bytes(found, tensor.data())?.convert(ty.dtype))
    };
    let arrays = leaves.into_iter().map(|(place, ty)| place.from_external(ty, read));
    Ok(unflatten(like, arrays.collect::<Result<Vec<_>, _>>()?))
}

fn misfits(file: &SafeTensors<'_>, leaves: &[(Place, &TensorType)]) -> Result<Vec<Misfit>, CheckpointError> {
    let mut unused: BTreeSet<&str> = file.names().into_iter().collect();
    let mut misfits = Vec::new();
    for (place, ty) in leaves {
        for (name, expected) in place.external_types(ty)? {
            unused.remove(name.as_str());
            match file.tensor(&name) {
                Err(_) => misfits.push(Misfit::Missing { name, expected }),
                Ok(tensor) if converts(&tensor, &expected) => {}
                Ok(tensor) => misfits.push(Misfit::Type { name, found: text(&tensor), expected }),
            }
        }
    }
    let unexpected = unused.into_iter().filter_map(|name| Some((name, file.tensor(name).ok()?)));
    misfits.extend(unexpected.map(|(name, tensor)| Misfit::Unexpected { name: name.to_owned(), found: text(&tensor) }));
    Ok(misfits)
}

fn converts(tensor: &TensorView<'_>, expected: &TensorType) -> bool {
    known_type(tensor).is_some_and(|found| {
        let both_float = found.dtype.is_float() && expected.dtype.is_float();
        found.shape == expected.shape && (found.dtype == expected.dtype || both_float)
    })
}

fn known_type(tensor: &TensorView<'_>) -> Option<TensorType> {
    let dtype = DType::ALL.into_iter().find(|dtype| safetensors_dtype(*dtype) == tensor.dtype())?;
    Some(TensorType::new(dtype, tensor.shape()))
}

fn text(tensor: &TensorView<'_>) -> String {
    known_type(tensor).map_or_else(|| format!("{:?}{:?}", tensor.dtype(), tensor.shape()), |ty| ty.to_string())
}
