//! Counting along a dim.

use ndarray::{ArrayD, IxDyn};
use twinflow_array::{DType, TensorType};

use super::prelude::*;

/// `y[.., i, ..] = i`, i the index along `dim`.
#[derive(Clone, Debug, PartialEq)]
pub struct Iota {
    pub ty: TensorType,
    pub dim: usize,
}

impl Primitive<0> for Iota {
    const NAME: &'static str = "iota";
    const PROPERTIES: Properties = Properties::CHEAP;

    fn infer(&self, _: [&TensorType; 0]) -> Result<TensorType, TypeError> {
        self.ty.require(self.dim < self.ty.shape.rank(), || format!("there is no dim {} to count along", self.dim))?;
        Ok(self.ty.clone())
    }

    fn lower(&self, _: [Value; 0], ty: &TensorType, block: &mut Block) -> Value {
        block.emit(&format!("stablehlo.iota dim = {} : {}", self.dim, ty.mlir()), ty)
    }

    fn vjp<'t>(&self, _: [Tensor<'t>; 0], _: Tensor<'t>, _: Tensor<'t>) -> [Option<Tensor<'t>>; 0] {
        []
    }

    fn jvp<'t>(&self, _: [Tensor<'t>; 0], _: Tensor<'t>, _: [Option<Tensor<'t>>; 0]) -> Option<Tensor<'t>> {
        None
    }

    fn eval(&self, _: [&ArrayD<f64>; 0], ty: &TensorType) -> ArrayD<f64> {
        ArrayD::from_shape_fn(IxDyn(&ty.shape), |index| index[self.dim] as f64)
    }

    fn cost(&self, _: [&TensorType; 0], y: &TensorType) -> Cost {
        Cost::moving([y])
    }

    fn samples() -> Vec<Sample> {
        [DType::I32, DType::U32, DType::F64]
            .map(|dtype| Sample::of(Iota { ty: TensorType::new(dtype, [2, 3]), dim: 1 }, []))
            .into()
    }
}
