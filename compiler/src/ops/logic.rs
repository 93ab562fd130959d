//! Truth values and bits; no derivatives.

use ndarray::{ArrayD, Zip};
use twinflow_array::{DType, TensorType};

use super::prelude::*;

fn require_bits(ty: &TensorType) -> Result<TensorType, TypeError> {
    if ty.dtype.is_float() {
        return Err(TypeError::Kind { expected: "bool or an integer", found: ty.clone() });
    }
    Ok(ty.clone())
}

/// The reference's bits of an integer or bool held in f64.
fn bits(value: f64) -> u64 {
    value as i64 as u64
}

macro_rules! bitwise {
    ($($(#[$doc:meta])* $op:ident, $name:literal, $properties:expr, $hlo:literal, $require:expr, $eval:expr, $samples:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $op;

        impl Primitive<2> for $op {
            const NAME: &'static str = $name;
            const PROPERTIES: Properties = $properties;

            fn infer(&self, [a, b]: [&TensorType; 2]) -> Result<TensorType, TypeError> {
                let require: fn(&TensorType) -> Result<TensorType, TypeError> = $require;
                require(a)?;
                a.require_same(b)
            }

            fn lower(&self, [a, b]: [Value; 2], ty: &TensorType, block: &mut Block) -> Value {
                block.binary($hlo, &a, &b, ty)
            }

            fn vjp<'t>(&self, _: [Tensor<'t>; 2], _: Tensor<'t>, _: Tensor<'t>) -> [Option<Tensor<'t>>; 2] {
                [None, None]
            }

            fn jvp<'t>(&self, _: [Tensor<'t>; 2], _: Tensor<'t>, _: [Option<Tensor<'t>>; 2]) -> Option<Tensor<'t>> {
                None
            }

            fn eval(&self, [a, b]: [&ArrayD<f64>; 2], _: &TensorType) -> ArrayD<f64> {
                let f: fn(u64, u64) -> u64 = $eval;
                Zip::from(a).and(b).map_collect(|&a, &b| f(bits(a), bits(b)) as f64)
            }

            fn cost(&self, [a, b]: [&TensorType; 2], y: &TensorType) -> Cost {
                Cost::elementwise([a, b], y)
            }

            fn samples() -> Vec<Sample> {
                let dtypes: &[DType] = &$samples;
                dtypes.iter().map(|&dtype| {
                    let values = if dtype == DType::Bool { [[0, 1, 0, 1], [0, 0, 1, 1]] } else { [[12, 5, 255, 0], [3, 1, 7, 2]] };
                    Sample::of($op, values.map(|values| sample::integers(dtype, &[4], &values)))
                }).collect()
            }
        }
    )*};
}

bitwise! {
    /// `y = a & b`.
    And, "and", Properties::CHEAP, "stablehlo.and", require_bits, |a, b| a & b, [DType::Bool, DType::U32];
    /// `y = a | b`.
    Or, "or", Properties::CHEAP, "stablehlo.or", require_bits, |a, b| a | b, [DType::Bool, DType::U32];
    /// `y = a ^ b`.
    Xor, "xor", Properties::CHEAP, "stablehlo.xor", require_bits, |a, b| a ^ b, [DType::Bool, DType::U32];
    /// `y = a << b`.
    ShiftLeft, "shift_left", Properties::SAVE, "stablehlo.shift_left", |ty| ty.require_integer(), |a, b| a << b, [DType::U32, DType::I32];
    /// `y = a >> b`, zeros shifted in.
    ShiftRight, "shift_right", Properties::SAVE, "stablehlo.shift_right_logical", |ty| ty.require_integer(), |a, b| a >> b, [DType::U32];
}

/// `y = !x`: negation of a truth value, complement of an integer's bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Not;

impl Primitive<1> for Not {
    const NAME: &'static str = "not";
    const PROPERTIES: Properties = Properties::CHEAP;

    fn infer(&self, [x]: [&TensorType; 1]) -> Result<TensorType, TypeError> {
        require_bits(x)
    }

    fn lower(&self, [x]: [Value; 1], ty: &TensorType, block: &mut Block) -> Value {
        block.unary("stablehlo.not", &x, ty)
    }

    fn vjp<'t>(&self, _: [Tensor<'t>; 1], _: Tensor<'t>, _: Tensor<'t>) -> [Option<Tensor<'t>>; 1] {
        [None]
    }

    fn jvp<'t>(&self, _: [Tensor<'t>; 1], _: Tensor<'t>, _: [Option<Tensor<'t>>; 1]) -> Option<Tensor<'t>> {
        None
    }

    fn eval(&self, [x]: [&ArrayD<f64>; 1], ty: &TensorType) -> ArrayD<f64> {
        match ty.dtype {
            DType::Bool => x.mapv(|x| 1.0 - x),
            _ => x.mapv(|x| !(x as i64) as f64),
        }
    }

    fn cost(&self, [x]: [&TensorType; 1], y: &TensorType) -> Cost {
        Cost::elementwise([x], y)
    }

    fn samples() -> Vec<Sample> {
        [(DType::Bool, [0, 1]), (DType::U32, [12, 0])]
            .map(|(dtype, values)| Sample::of(Not, [sample::integers(dtype, &[2], &values)]))
            .into()
    }
}
