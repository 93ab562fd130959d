//! A tensor is of one trace and cannot outlive it.

use twinflow_array::TensorType;
use twinflow_compiler::{Tensor, trace};

fn main() {
    let mut leaked: Option<Tensor<'_>> = None;
    let traced = trace(|t| leaked = Some(t.input(&"x".into(), TensorType::f32([2]))));
    drop((traced, leaked));
}
