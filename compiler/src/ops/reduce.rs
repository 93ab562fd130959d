//! Sums and extremes over dims.

use ndarray::{ArrayD, Axis};
use twinflow_array::{Shape, TensorType};

use super::prelude::*;

/// The type without `dims`.
fn reduced(x: &TensorType, dims: &[usize]) -> Result<TensorType, TypeError> {
    let ascending = dims.is_sorted_by(|a, b| a < b) && dims.iter().all(|&dim| dim < x.shape.rank());
    x.require(ascending, || format!("cannot reduce over dims {dims:?}"))?;
    let kept = x.shape.iter().enumerate().filter(|(dim, _)| !dims.contains(dim));
    Ok(x.with_shape(kept.map(|(_, &size)| size).collect::<Shape>()))
}

fn lower_reduce(x: &Value, initial: f64, body: &str, dims: &[usize], ty: &TensorType, block: &mut Block) -> Value {
    let scalar = x.ty.with_shape([]);
    let initial = block.splat(&scalar, initial);
    let text = format!(
        "stablehlo.reduce({} init: {}) applies {body} across dimensions = {dims:?} : ({}, {}) -> {}",
        x.name,
        initial.name,
        x.ty.mlir(),
        scalar.mlir(),
        ty.mlir()
    );
    block.emit(&text, ty)
}

/// n elements become one by n - 1 operations.
fn reduction_cost(x: &TensorType, y: &TensorType) -> Cost {
    Cost::moving([x, y]).with_flops(x.shape.elements().saturating_sub(y.shape.elements()))
}

fn fold(x: &ArrayD<f64>, dims: &[usize], initial: f64, f: fn(f64, f64) -> f64) -> ArrayD<f64> {
    dims.iter().rev().fold(x.clone(), |x, &dim| x.fold_axis(Axis(dim), initial, |&a, &b| f(a, b)))
}

/// `y` with the reduced dims put back by repetition.
fn spread_back<'t>(y: Tensor<'t>, dims: &[usize], shape: Shape) -> Tensor<'t> {
    let kept: Vec<usize> = (0..shape.rank()).filter(|dim| !dims.contains(dim)).collect();
    y.broadcast_in_dim(shape, &kept)
}

/// `y = sum of x over dims`; the adjoint repeats.
#[derive(Clone, Debug, PartialEq)]
pub struct ReduceSum {
    /// The dims summed over, ascending.
    pub dims: Vec<usize>,
}

impl Primitive<1> for ReduceSum {
    const NAME: &'static str = "reduce_sum";
    const PROPERTIES: Properties = Properties::SAVE;

    fn infer(&self, [x]: [&TensorType; 1]) -> Result<TensorType, TypeError> {
        reduced(x, &self.dims)
    }

    /// The first dims are summed as one, behind a barrier that keeps them so: over one XLA:CPU adds whole rows, over
    /// several it goes down each column, some twenty times slower.
    fn lower(&self, [x]: [Value; 1], ty: &TensorType, block: &mut Block) -> Value {
        let count = self.dims.len();
        let leading = count > 1 && count < x.ty.shape.rank() && self.dims.iter().copied().eq(0..count);
        if !(leading && block.products().for_cpu) {
            return lower_reduce(&x, 0.0, "stablehlo.add", &self.dims, ty, block);
        }
        let (summed, kept) = x.ty.shape.split_at(count);
        let shape: Vec<usize> = [&[summed.iter().product()], kept].concat();
        let rows = block.call("stablehlo.reshape", &[&x], "", &x.ty.with_shape(shape));
        let rows = block.unary("stablehlo.optimization_barrier", &rows, &rows.ty);
        lower_reduce(&rows, 0.0, "stablehlo.add", &[0], ty, block)
    }

    fn vjp<'t>(&self, [x]: [Tensor<'t>; 1], _: Tensor<'t>, y_bar: Tensor<'t>) -> [Option<Tensor<'t>>; 1] {
        [Some(spread_back(y_bar, &self.dims, x.shape()))]
    }

    fn jvp<'t>(&self, _: [Tensor<'t>; 1], _: Tensor<'t>, [x_dot]: [Option<Tensor<'t>>; 1]) -> Option<Tensor<'t>> {
        Some(x_dot?.reduce_sum(&self.dims))
    }

    fn eval(&self, [x]: [&ArrayD<f64>; 1], _: &TensorType) -> ArrayD<f64> {
        fold(x, &self.dims, 0.0, |a, b| a + b)
    }

    fn cost(&self, [x]: [&TensorType; 1], y: &TensorType) -> Cost {
        reduction_cost(x, y)
    }

    fn samples() -> Vec<Sample> {
        vec![
            Sample::uniform(ReduceSum { dims: vec![1] }, [&[2, 3, 4]], -1.0..1.0),
            Sample::uniform(ReduceSum { dims: vec![0, 2] }, [&[2, 3, 4]], -1.0..1.0),
            Sample::uniform(ReduceSum { dims: vec![0, 1] }, [&[2, 3, 2, 4]], -1.0..1.0),
        ]
    }
}

/// Largest or smallest element over dims; equal extremes share the cotangent.
macro_rules! extreme {
    ($($(#[$doc:meta])* $op:ident, $name:literal, $hlo:literal, $initial:expr, $f:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $op {
            /// The dims reduced over, ascending.
            pub dims: Vec<usize>,
        }

        impl $op {
            /// 1/k at each of the k places that hold the extreme.
            fn weights<'t>(&self, x: Tensor<'t>, y: Tensor<'t>) -> Tensor<'t> {
                let hit = x.eq(spread_back(y, &self.dims, x.shape())).convert(x.dtype());
                hit / spread_back(hit.reduce_sum(&self.dims), &self.dims, x.shape())
            }
        }

        impl Primitive<1> for $op {
            const NAME: &'static str = $name;
            const PROPERTIES: Properties = Properties::SAVE;

            fn infer(&self, [x]: [&TensorType; 1]) -> Result<TensorType, TypeError> {
                reduced(x, &self.dims)
            }

            fn lower(&self, [x]: [Value; 1], ty: &TensorType, block: &mut Block) -> Value {
                let initial = if ty.dtype.is_float() { $initial } else { integer_extreme($initial, ty) };
                lower_reduce(&x, initial, $hlo, &self.dims, ty, block)
            }

            fn vjp<'t>(&self, [x]: [Tensor<'t>; 1], y: Tensor<'t>, y_bar: Tensor<'t>) -> [Option<Tensor<'t>>; 1] {
                [Some(spread_back(y_bar, &self.dims, x.shape()) * self.weights(x, y))]
            }

            fn jvp<'t>(&self, [x]: [Tensor<'t>; 1], y: Tensor<'t>, [x_dot]: [Option<Tensor<'t>>; 1]) -> Option<Tensor<'t>> {
                Some((x_dot? * self.weights(x, y)).reduce_sum(&self.dims))
            }

            fn eval(&self, [x]: [&ArrayD<f64>; 1], _: &TensorType) -> ArrayD<f64> {
                fold(x, &self.dims, $initial, $f)
            }

            fn cost(&self, [x]: [&TensorType; 1], y: &TensorType) -> Cost {
                reduction_cost(x, y)
            }

            fn samples() -> Vec<Sample> {
                vec![Sample::uniform($op { dims: vec![0, 2] }, [&[2, 3, 4]], -1.0..1.0)]
            }
        }
    )*};
}

extreme! {
    /// `y = max of x over dims`.
    ReduceMax, "reduce_max", "stablehlo.maximum", f64::NEG_INFINITY, f64::max;
    /// `y = min of x over dims`.
    ReduceMin, "reduce_min", "stablehlo.minimum", f64::INFINITY, f64::min;
}

/// The end of an integer type's range that an infinity stands for.
fn integer_extreme(infinity: f64, ty: &TensorType) -> f64 {
    use twinflow_array::DType::{I32, I64};
    let bits = 8 * ty.dtype.size() as i32;
    match (ty.dtype, infinity > 0.0) {
        (I32 | I64, true) => 2f64.powi(bits - 1) - 1.0,
        (I32 | I64, false) => -(2f64.powi(bits - 1)),
        (_, true) => 2f64.powi(bits) - 1.0,
        (_, false) => 0.0,
    }
}
