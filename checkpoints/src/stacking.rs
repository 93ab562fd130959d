//! Names inside and outside: `blocks/*/attn/weight` of shape [depth, ...] is `blocks.0.attn.weight`, `blocks.1.attn..`.

use twinflow_array::{HostArray, ParamPath, TensorType};

use crate::CheckpointError;

/// The names and the type of the parts of a stacked array, in the order in which they lie in its memory. An array
/// without `*` in its name is its own only part.
///
/// # Errors
/// [`CheckpointError::Unstackable`] if there are more `*` than dims.
pub(crate) fn parts(path: &ParamPath, ty: &TensorType) -> Result<(Vec<String>, TensorType), CheckpointError> {
    let stars = path.as_str().split('/').filter(|segment| *segment == "*").count();
    if stars > ty.shape.rank() {
        return Err(CheckpointError::Unstackable { array: path.clone(), ty: ty.clone() });
    }
    let (stacked, rest) = ty.shape.split_at(stars);
    let mut names = vec![String::new()];
    let mut depths = stacked.iter();
    for segment in path.as_str().split('/') {
        let segments: Vec<String> = match segment {
            "*" => (0..*depths.next().expect("as many dims as stars")).map(|layer| layer.to_string()).collect(),
            plain => vec![plain.to_owned()],
        };
        names = names.iter().flat_map(|name| segments.iter().map(move |segment| joined(name, segment))).collect();
    }
    Ok((names, ty.with_shape(rest)))
}

fn joined(name: &str, segment: &str) -> String {
    if name.is_empty() { segment.to_owned() } else { format!("{name}.{segment}") }
}

/// The parts of an array with their names.
///
/// # Errors
/// As [`parts`].
pub(crate) fn unstack(path: &ParamPath, array: &HostArray) -> Result<Vec<(String, HostArray)>, CheckpointError> {
    let (names, ty) = parts(path, array.ty())?;
    let part = |(index, name): (usize, String)| {
        let bytes = &array.bytes()[index * ty.bytes()..][..ty.bytes()];
        (name, HostArray::from_bytes(ty.clone(), bytes).expect("as many bytes as the type has"))
    };
    Ok(names.into_iter().enumerate().map(part).collect())
}
