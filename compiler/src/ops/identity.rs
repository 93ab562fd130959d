//! Operations that change nothing but how derivatives flow.

use ndarray::ArrayD;
use twinflow_array::TensorType;

use super::prelude::*;

/// `y = x` under a new name: marks a variable that derivatives are taken for.
#[derive(Clone, Debug, PartialEq)]
pub struct Alias;

impl Primitive<1> for Alias {
    const NAME: &'static str = "alias";
    const PROPERTIES: Properties = Properties { is_identity: true, ..Properties::FREE };

    fn infer(&self, [x]: [&TensorType; 1]) -> Result<TensorType, TypeError> {
        Ok(x.clone())
    }

    fn lower(&self, [x]: [Value; 1], _: &TensorType, _: &mut Block) -> Value {
        x
    }

    fn vjp<'t>(&self, _: [Tensor<'t>; 1], _: Tensor<'t>, y_bar: Tensor<'t>) -> [Option<Tensor<'t>>; 1] {
        [Some(y_bar)]
    }

    fn jvp<'t>(&self, _: [Tensor<'t>; 1], _: Tensor<'t>, [x_dot]: [Option<Tensor<'t>>; 1]) -> Option<Tensor<'t>> {
        x_dot
    }

    fn eval(&self, [x]: [&ArrayD<f64>; 1], _: &TensorType) -> ArrayD<f64> {
        x.clone()
    }

    fn cost(&self, _: [&TensorType; 1], _: &TensorType) -> Cost {
        Cost::FREE
    }

    fn samples() -> Vec<Sample> {
        vec![Sample::uniform(Alias, [&[2, 3]], -1.0..1.0)]
    }
}

/// `y = x` with derivative zero.
#[derive(Clone, Debug, PartialEq)]
pub struct StopGradient;

impl Primitive<1> for StopGradient {
    const NAME: &'static str = "stop_gradient";
    const PROPERTIES: Properties = Properties { blocks_gradient: true, is_identity: true, ..Properties::CHEAP };

    fn infer(&self, [x]: [&TensorType; 1]) -> Result<TensorType, TypeError> {
        Ok(x.clone())
    }

    fn lower(&self, [x]: [Value; 1], _: &TensorType, _: &mut Block) -> Value {
        x
    }

    fn vjp<'t>(&self, _: [Tensor<'t>; 1], _: Tensor<'t>, _: Tensor<'t>) -> [Option<Tensor<'t>>; 1] {
        [None]
    }

    fn jvp<'t>(&self, _: [Tensor<'t>; 1], _: Tensor<'t>, _: [Option<Tensor<'t>>; 1]) -> Option<Tensor<'t>> {
        None
    }

    fn eval(&self, [x]: [&ArrayD<f64>; 1], _: &TensorType) -> ArrayD<f64> {
        x.clone()
    }

    fn cost(&self, _: [&TensorType; 1], _: &TensorType) -> Cost {
        Cost::FREE
    }

    fn samples() -> Vec<Sample> {
        // Its derivative differs from that of its value on purpose; tests of autodiff cover it.
        Vec::new()
    }
}
