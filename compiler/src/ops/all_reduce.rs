//! Sums over the replicas of a program.

use ndarray::ArrayD;
use twinflow_array::TensorType;

use super::Sample;
use crate::{
    error::TypeError,
    primitive::Primitive,
    stablehlo::{Block, Value},
    trace::Tensor,
};

/// `y = sum over all replicas of x`, the same on each.
///
/// Derivatives are those of the sum of all replicas' results, so the operation is its own adjoint.
#[derive(Clone, Debug)]
pub struct AllReduceSum;

impl Tensor<'_> {
    /// The sum over all replicas of the program, the same on each.
    #[track_caller]
    pub fn all_reduce_sum(self) -> Self {
        self.apply(AllReduceSum, [self])
    }

    /// The mean over `replicas` replicas, which the program must be compiled for.
    #[track_caller]
    pub fn all_reduce_mean(self, replicas: usize) -> Self {
        self.all_reduce_sum() * (1.0 / replicas as f64)
    }
}

impl Primitive<1> for AllReduceSum {
    const NAME: &'static str = "all_reduce_sum";

    fn infer(&self, [x]: [&TensorType; 1]) -> Result<TensorType, TypeError> {
        Ok(x.clone())
    }

    fn lower(&self, [x]: [Value; 1], ty: &TensorType, block: &mut Block) -> Value {
        let name = block.fresh();
        let [a, b] = [0; 2].map(|_| Value { name: block.fresh(), ty: ty.with_shape([]) });
        let scalar = a.ty.mlir();
        block.line(&format!("{name} = \"stablehlo.all_reduce\"({}) ({{", x.name));
        block.line(&format!("^bb0({}: {scalar}, {}: {scalar}):", a.name, b.name));
        block.indented(|block| {
            let sum = block.binary("stablehlo.add", &a, &b, &a.ty);
            block.line(&format!("stablehlo.return {} : {scalar}", sum.name));
        });
        // An empty list of groups means one group of all replicas.
        let types = format!("({}) -> {}", x.ty.mlir(), ty.mlir());
        block.line(&format!("}}) {{replica_groups = dense<> : tensor<0x0xi64>}} : {types}"));
        Value { name, ty: ty.clone() }
    }

    fn vjp<'t>(&self, _: [Tensor<'t>; 1], _: Tensor<'t>, y_bar: Tensor<'t>) -> [Option<Tensor<'t>>; 1] {
        [Some(y_bar.all_reduce_sum())]
    }

    fn jvp<'t>(&self, _: [Tensor<'t>; 1], _: Tensor<'t>, [x_dot]: [Option<Tensor<'t>>; 1]) -> Option<Tensor<'t>> {
        Some(x_dot?.all_reduce_sum())
    }

    /// The reference is one replica.
    fn eval(&self, [x]: [&ArrayD<f64>; 1], _: &TensorType) -> ArrayD<f64> {
        x.clone()
    }

    fn samples() -> Vec<Sample> {
        vec![Sample::uniform(AllReduceSum, [&[2, 3]], -1.0..1.0)]
    }
}
