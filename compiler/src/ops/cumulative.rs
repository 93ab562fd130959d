//! Running sums.

use ndarray::{ArrayD, Axis};
use twinflow_array::TensorType;

use super::prelude::*;

/// `y[i] = sum of x[j] along dim, j <= i` (`j >= i` if reverse). The adjoint runs the other way.
#[derive(Clone, Debug, PartialEq)]
pub struct CumulativeSum {
    pub dim: usize,
    /// Whether the sum starts at the end.
    pub reverse: bool,
}

impl CumulativeSum {
    fn apply<'t>(&self, x: Tensor<'t>, reverse: bool) -> Tensor<'t> {
        x.apply(CumulativeSum { dim: self.dim, reverse }, [x])
    }
}

impl Primitive<1> for CumulativeSum {
    const NAME: &'static str = "cumulative_sum";
    const PROPERTIES: Properties = Properties::SAVE;

    fn infer(&self, [x]: [&TensorType; 1]) -> Result<TensorType, TypeError> {
        let some = x.shape.get(self.dim).is_some_and(|&size| size > 0);
        x.require(some, || format!("there is nothing to sum along dim {}", self.dim))?;
        let number = x.dtype.is_float() || x.dtype.is_integer();
        if number { Ok(x.clone()) } else { Err(TypeError::Kind { expected: "a number", found: x.clone() }) }
    }

    /// Windows as long as the dim, which hang over its beginning (or end); XLA makes a tree of long ones.
    fn lower(&self, [x]: [Value; 1], ty: &TensorType, block: &mut Block) -> Value {
        let (rank, overhang) = (ty.shape.rank(), ty.shape[self.dim] - 1);
        let along = |value: usize, other: usize| move |dim: usize| if dim == self.dim { value } else { other };
        let list = |value: &dyn Fn(usize) -> usize| -> String {
            (0..rank).map(|dim| value(dim).to_string()).collect::<Vec<_>>().join(", ")
        };
        let (low, high) = if self.reverse { (0, overhang) } else { (overhang, 0) };
        let padding: Vec<[usize; 2]> = (0..rank).map(|dim| [along(low, 0)(dim), along(high, 0)(dim)]).collect();
        let attributes = format!(
            "window_dimensions = array<i64: {}>, window_strides = array<i64: {}>, padding = dense<{padding:?}> : \
             tensor<{rank}x2xi64>",
            list(&along(overhang + 1, 1)),
            list(&|_| 1)
        );
        let zero = block.splat(&ty.with_shape([]), 0.0);
        block.with_sum("stablehlo.reduce_window", &[&x, &zero], &attributes, ty)
    }

    fn vjp<'t>(&self, _: [Tensor<'t>; 1], _: Tensor<'t>, y_bar: Tensor<'t>) -> [Option<Tensor<'t>>; 1] {
        [Some(self.apply(y_bar, !self.reverse))]
    }

    fn jvp<'t>(&self, _: [Tensor<'t>; 1], _: Tensor<'t>, [x_dot]: [Option<Tensor<'t>>; 1]) -> Option<Tensor<'t>> {
        Some(self.apply(x_dot?, self.reverse))
    }

    fn eval(&self, [x]: [&ArrayD<f64>; 1], _: &TensorType) -> ArrayD<f64> {
        let mut y = x.clone();
        for mut lane in y.lanes_mut(Axis(self.dim)) {
            let mut sum = 0.0;
            let mut add = |value: &mut f64| {
                sum += *value;
                *value = sum;
            };
            if self.reverse { lane.iter_mut().rev().for_each(&mut add) } else { lane.iter_mut().for_each(&mut add) }
        }
        y
    }

    fn cost(&self, [x]: [&TensorType; 1], y: &TensorType) -> Cost {
        Cost::elementwise([x], y)
    }

    fn samples() -> Vec<Sample> {
        let sum = |dim: usize, reverse: bool| CumulativeSum { dim, reverse };
        let integers = super::sample::integers(twinflow_array::DType::I32, &[4], &[3, -1, 0, 5]);
        vec![
            Sample::uniform(sum(1, false), [&[2, 4, 3]], -1.0..1.0),
            Sample::uniform(sum(0, true), [&[5, 2]], -1.0..1.0),
            // Longer than the windows that XLA computes one by one.
            Sample::uniform(sum(0, false), [&[40]], -1.0..1.0),
            Sample::of(sum(0, false), [integers]),
        ]
    }
}
