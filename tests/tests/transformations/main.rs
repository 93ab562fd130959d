//! What is done to whole functions: derivatives, loops, rematerialisation, passes, listings, errors.

mod autodiff;
mod cost;
mod errors;
mod passes;
mod remat;
mod scan;

use twinflow_array::{DType, HostArray, TensorType};
use twinflow_tests::values::scattered;

/// An f64 type.
fn f64s(shape: &[usize]) -> TensorType {
    TensorType::new(DType::F64, shape)
}

/// Scattered f64 arrays of these shapes.
fn arrays(shapes: &[&[usize]]) -> Vec<HostArray> {
    shapes.iter().enumerate().map(|(seed, shape)| scattered(&f64s(shape), seed)).collect()
}

/// The types of arrays.
fn types(arrays: &[HostArray]) -> Vec<TensorType> {
    arrays.iter().map(|array| array.ty().clone()).collect()
}
