//! Cases in `io.h5`.

use std::{collections::BTreeMap, path::Path};

use hdf5_metno::{Dataset, File, Group, types::TypeDescriptor, types::VarLenUnicode};
use serde_json::Value;
use twinflow_array::{HostArray, TensorType};

/// Arrays by the library's names.
pub type Arrays = BTreeMap<String, HostArray>;

/// One call of the library's network; integers are i32 here.
pub struct Case {
    pub name: String,
    /// The grids of pictures as (frames, height, width) in tokens, where the network reads them.
    pub img_shapes: Option<Value>,
    pub inputs: Arrays,
    pub out: HostArray,
    /// What the output is weighed with: gradients are those of `sum(out * probe)`.
    pub probe: HostArray,
    pub input_gradients: Arrays,
    pub parameter_gradients: Arrays,
}

impl Case {
    /// The type of an input.
    pub fn input(&self, name: &str) -> &TensorType {
        self.inputs.get(name).unwrap_or_else(|| panic!("{}: no input {name}", self.name)).ty()
    }
}

/// All cases of a file, by name.
pub fn read(path: &Path) -> Vec<Case> {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut groups = file.groups().unwrap();
    groups.sort_by_key(|group| group.name());
    groups.iter().map(case).collect()
}

fn case(group: &Group) -> Case {
    let text = |name| group.attr(name).ok()?.read_scalar::<VarLenUnicode>().ok();
    Case {
        name: group.name(),
        img_shapes: text("img_shapes").map(|text| serde_json::from_str(&text).unwrap()),
        inputs: arrays(group, "in"),
        out: array(&group.dataset("out").unwrap()),
        probe: array(&group.dataset("probe").unwrap()),
        input_gradients: arrays(group, "grad_in"),
        parameter_gradients: arrays(group, "grad_param"),
    }
}

fn arrays(group: &Group, name: &str) -> Arrays {
    let members = group.group(name).and_then(|group| group.datasets()).unwrap_or_default();
    let own_name = |dataset: &Dataset| dataset.name().rsplit('/').next().unwrap().to_owned();
    members.iter().map(|dataset| (own_name(dataset), array(dataset))).collect()
}

fn array(dataset: &Dataset) -> HostArray {
    let shape = dataset.shape();
    if matches!(dataset.dtype().unwrap().to_descriptor().unwrap(), TypeDescriptor::Float(_)) {
        return HostArray::from_slice(shape, &dataset.read_raw::<f32>().unwrap()).unwrap();
    }
    HostArray::from_slice(shape, &dataset.read_raw::<i32>().unwrap()).unwrap()
}
