//! Change of element type.

use ndarray::ArrayD;
use twinflow_array::{DType, TensorType};

use super::prelude::*;
use crate::properties::Fold;

/// `y = x` in another element type; between floats the cotangent is converted back.
#[derive(Clone, Debug, PartialEq)]
pub struct Convert {
    pub dtype: DType,
}

impl Primitive<1> for Convert {
    const NAME: &'static str = "convert";
    const PROPERTIES: Properties = Properties::FREE.folding(Fold::Scalar);

    fn infer(&self, [x]: [&TensorType; 1]) -> Result<TensorType, TypeError> {
        Ok(x.with_dtype(self.dtype))
    }

    fn lower(&self, [x]: [Value; 1], _: &TensorType, block: &mut Block) -> Value {
        block.convert(&x, self.dtype)
    }

    fn vjp<'t>(&self, [x]: [Tensor<'t>; 1], _: Tensor<'t>, y_bar: Tensor<'t>) -> [Option<Tensor<'t>>; 1] {
        let from = x.dtype();
        [(from.is_float() && self.dtype.is_float()).then(|| y_bar.convert(from))]
    }

    fn jvp<'t>(&self, _: [Tensor<'t>; 1], _: Tensor<'t>, [x_dot]: [Option<Tensor<'t>>; 1]) -> Option<Tensor<'t>> {
        if self.dtype.is_float() { Some(x_dot?.convert(self.dtype)) } else { None }
    }

    fn eval(&self, [x]: [&ArrayD<f64>; 1], _: &TensorType) -> ArrayD<f64> {
        x.clone()
    }

    fn cost(&self, [x]: [&TensorType; 1], y: &TensorType) -> Cost {
        Cost::moving([x, y])
    }

    fn samples() -> Vec<Sample> {
        let integers = sample::integers(DType::I32, &[3], &[-1, 0, 7]);
        let positive = sample::spread(&[4], 0, &(0.0..9.0));
        vec![
            Sample::uniform(Convert { dtype: DType::F64 }, [&[2, 3]], -1.0..1.0),
            Sample::of(Convert { dtype: DType::F64 }, [integers.clone()]),
            Sample::of(Convert { dtype: DType::Bool }, [integers]),
            Sample::of(Convert { dtype: DType::I32 }, [positive]),
        ]
    }
}
