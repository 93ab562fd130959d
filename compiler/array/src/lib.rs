//! Element types, shapes, host arrays and typed trees: the vocabulary that every other crate shares.

mod dtype;
mod host_array;
mod layout;
mod param_path;
mod place;
mod shape;
mod tensor_type;
mod tree;

pub use dtype::{DType, Element, UnknownDType};
pub use host_array::{ArrayError, HostArray};
pub use layout::Layout;
pub use param_path::ParamPath;
pub use place::Place;
pub use shape::Shape;
pub use tensor_type::TensorType;
pub use tree::{Leaf, Tree, by_ref, leaves, map, paths, unflatten};
pub use twinflow_derive::Tree;
