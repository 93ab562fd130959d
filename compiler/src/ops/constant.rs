//! Values that are known while tracing.

use ndarray::ArrayD;
use twinflow_array::{DType, HostArray, TensorType};

use super::prelude::*;

/// `y = value`.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    pub value: HostArray,
}

impl Primitive<0> for Constant {
    const NAME: &'static str = "constant";
    const PROPERTIES: Properties = Properties::CHEAP;

    fn infer(&self, _: [&TensorType; 0]) -> Result<TensorType, TypeError> {
        Ok(self.value.ty().clone())
    }

    fn lower(&self, _: [Value; 0], _: &TensorType, block: &mut Block) -> Value {
        block.constant(&self.value)
    }

    fn vjp<'t>(&self, _: [Tensor<'t>; 0], _: Tensor<'t>, _: Tensor<'t>) -> [Option<Tensor<'t>>; 0] {
        []
    }

    fn jvp<'t>(&self, _: [Tensor<'t>; 0], _: Tensor<'t>, _: [Option<Tensor<'t>>; 0]) -> Option<Tensor<'t>> {
        None
    }

    fn eval(&self, _: [&ArrayD<f64>; 0], _: &TensorType) -> ArrayD<f64> {
        self.value.to_f64_array()
    }

    fn cost(&self, _: [&TensorType; 0], y: &TensorType) -> Cost {
        Cost::moving([y])
    }

    fn samples() -> Vec<Sample> {
        let scalars = [1e-5, -0.1, f64::INFINITY, 3.0].map(HostArray::scalar);
        let arrays = [
            sample::spread(&[2, 3], 0, &(-1.0..1.0)),
            sample::integers(DType::I32, &[3], &[-1, 0, 7]),
            sample::integers(DType::Bool, &[3], &[1, 0, 1]),
            sample::integers(DType::U32, &[], &[4_294_967_295]),
        ];
        scalars.into_iter().chain(arrays).map(|value| Sample::of(Constant { value }, [])).collect()
    }
}
