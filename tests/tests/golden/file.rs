//! Reading cases from HDF5.

use hdf5_metno::{File, Group, types::VarLenUnicode};
use serde_json::{Map, Value};
use twinflow_array::HostArray;
use twinflow_nn::Params;

use crate::network::TwoLayers;

/// Opens the file that the environment variable names, or `default` of the golden folder.
pub fn open(variable: &str, default: &str) -> File {
    let path = std::env::var(variable).unwrap_or_else(|_| format!("{}/golden/{default}", env!("CARGO_MANIFEST_DIR")));
    File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Names of a group's members, sorted.
pub fn names(group: &Group) -> Vec<String> {
    let mut names = group.member_names().unwrap();
    names.sort();
    names
}

/// A dataset as f32, if the group holds it.
pub fn array(group: &Group, name: &str) -> Option<HostArray> {
    let dataset = group.dataset(name).ok()?;
    let values = dataset.read_raw::<f32>().unwrap();
    Some(HostArray::from_slice(dataset.shape(), &values).unwrap())
}

/// A dataset as f32.
pub fn required(group: &Group, name: &str) -> HostArray {
    array(group, name).unwrap_or_else(|| panic!("{}/{name} is missing", group.name()))
}

/// The network's parameters.
pub fn params(group: &Group) -> Params<HostArray> {
    let [w1, b1, w2, b2] = ["w1", "b1", "w2", "b2"].map(|name| required(group, name));
    Params::from_tree(TwoLayers { w1, b1, w2, b2 })
}

/// The attributes of a case: JSON under the options' public names.
pub fn options(group: &Group) -> Map<String, Value> {
    let read = |name: &String| {
        let text = group.attr(name).unwrap().read_scalar::<VarLenUnicode>().unwrap();
        (name.clone(), serde_json::from_str(&text).unwrap())
    };
    group.attr_names().unwrap().iter().map(read).collect()
}
