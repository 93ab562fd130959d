//! Sums over the replicas: the copies of the program that run together, each on its own data.

use ndarray::ArrayD;
use twinflow_array::TensorType;

use super::prelude::*;

/// `y = sum of x over all replicas`, the same on each.
///
/// Derivatives are those of the sum of the replicas' losses (as JAX's `psum` under `pmap`): every replica's y depends
/// on every replica's x, so the adjoint is the sum over the replicas once more. A loss that is averaged over the
/// replicas itself, and the same on each, therefore has N times its gradient; take gradients of the replica's own loss
/// and average them.
#[derive(Clone, Debug, PartialEq)]
pub struct AllReduceSum;

impl Primitive<1> for AllReduceSum {
    const NAME: &'static str = "all_reduce_sum";
    const PROPERTIES: Properties = Properties::SAVE;

    fn infer(&self, [x]: [&TensorType; 1]) -> Result<TensorType, TypeError> {
        let number = x.dtype.is_float() || x.dtype.is_integer();
        if number { Ok(x.clone()) } else { Err(TypeError::Kind { expected: "a number", found: x.clone() }) }
    }

    fn lower(&self, [x]: [Value; 1], ty: &TensorType, block: &mut Block) -> Value {
        // No groups: all replicas form one.
        block.with_sum("stablehlo.all_reduce", &[&x], "replica_groups = dense<> : tensor<0x0xi64>", ty)
    }

    fn vjp<'t>(&self, _: [Tensor<'t>; 1], _: Tensor<'t>, y_bar: Tensor<'t>) -> [Option<Tensor<'t>>; 1] {
        [Some(y_bar.all_reduce_sum())]
    }

    fn jvp<'t>(&self, _: [Tensor<'t>; 1], _: Tensor<'t>, [x_dot]: [Option<Tensor<'t>>; 1]) -> Option<Tensor<'t>> {
        Some(x_dot?.all_reduce_sum())
    }

    /// The reference runs one replica.
    fn eval(&self, [x]: [&ArrayD<f64>; 1], _: &TensorType) -> ArrayD<f64> {
        x.clone()
    }

    /// Without what passes between devices.
    fn cost(&self, [x]: [&TensorType; 1], y: &TensorType) -> Cost {
        Cost::elementwise([x], y)
    }

    fn samples() -> Vec<Sample> {
        vec![Sample::uniform(AllReduceSum, [&[2, 3]], -1.0..1.0)]
    }
}
