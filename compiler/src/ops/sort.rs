//! Sorting along a dim.

use ndarray::{ArrayD, Axis};
use twinflow_array::{DType, TensorType};

use super::prelude::*;

/// `y = x sorted along dim`, and the permutation p (i32) with `y[k] = x[p[k]]`. Equal elements keep their order.
///
/// Floats are in total order: -0 before 0, and NaN last (those with the sign bit first). The adjoint puts each
/// cotangent where its value came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Sort {
    pub dim: usize,
    /// Whether the largest come first.
    pub descending: bool,
}

impl Sort {
    /// The permutation that sorts `lane`.
    fn permutation(&self, lane: &[f64]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..lane.len()).collect();
        order.sort_by(|&i, &j| {
            let ordering = lane[i].total_cmp(&lane[j]);
            if self.descending { ordering.reverse() } else { ordering }
        });
        order
    }
}

impl Op for Sort {
    fn name(&self) -> &'static str {
        "sort"
    }

    fn attributes(&self) -> String {
        format!("{{ dim: {}, descending: {} }}", self.dim, self.descending)
    }

    fn properties(&self) -> Properties {
        Properties::SAVE
    }

    fn equals(&self, other: &dyn Op) -> bool {
        same(self, other)
    }

    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, TypeError> {
        let [x] = operands else { return Err(TypeError::Arity { expected: 1, found: operands.len() }) };
        x.require(self.dim < x.shape.rank(), || format!("there is no dim {} to sort along", self.dim))?;
        x.require(x.dtype != DType::Bool, || "truth values have no order".to_owned())?;
        Ok(vec![x.clone(), x.with_dtype(DType::I32)])
    }

    fn lower(&self, operands: &[Value], results: &[TensorType], block: &mut Block) -> Vec<Value> {
        let position = block.emit(&format!("stablehlo.iota dim = {} : {}", self.dim, results[1].mlir()), &results[1]);
        let scalars: Vec<TensorType> = results.iter().flat_map(|ty| vec![ty.with_shape([]); 2]).collect();
        let direction = if self.descending { "GT" } else { "LT" };
        let kind = match results[0].dtype {
            dtype if dtype.is_float() => "TOTALORDER",
            DType::I32 | DType::I64 => "SIGNED",
            _ => "UNSIGNED",
        };
        let before = |arguments: &[Value], block: &mut Block| {
            let [a, b] = [&arguments[0], &arguments[1]];
            let ty = a.ty.with_dtype(DType::Bool);
            let text = format!("stablehlo.compare {direction}, {}, {}, {kind}", a.name, b.name);
            let scalar = a.ty.mlir();
            block.emit(&format!("{text} : ({scalar}, {scalar}) -> {}", ty.mlir()), &ty)
        };
        let attributes = format!("dimension = {} : i64, is_stable = true", self.dim);
        block.with_region("stablehlo.sort", &[&operands[0], &position], &attributes, &scalars, before, results)
    }

    fn vjp<'t>(&self, x: &[Tensor<'t>], y: &[Tensor<'t>], y_bar: &[Option<Tensor<'t>>]) -> Vec<Option<Tensor<'t>>> {
        vec![y_bar[0].map(|y_bar| x[0].zeros_like().scatter_add_along(self.dim as isize, y[1], y_bar))]
    }

    fn jvp<'t>(&self, _: &[Tensor<'t>], y: &[Tensor<'t>], x_dot: &[Option<Tensor<'t>>]) -> Vec<Option<Tensor<'t>>> {
        vec![x_dot[0].map(|x_dot| x_dot.take_along(self.dim as isize, y[1])), None]
    }

    fn eval(&self, operands: &[ArrayD<f64>], _: &[TensorType]) -> Vec<ArrayD<f64>> {
        let (mut values, mut positions) = (operands[0].clone(), operands[0].clone());
        let lanes = values.lanes_mut(Axis(self.dim)).into_iter().zip(positions.lanes_mut(Axis(self.dim)));
        for (mut values, mut positions) in lanes {
            let lane = values.to_vec();
            for (place, &from) in self.permutation(&lane).iter().enumerate() {
                values[place] = lane[from];
                positions[place] = from as f64;
            }
        }
        vec![values, positions]
    }

    /// `n log2 n` comparisons along the dim.
    fn cost(&self, x: &[TensorType], results: &[TensorType]) -> Cost {
        let comparisons = x[0].shape.elements() * x[0].shape[self.dim].max(1).ilog2() as usize;
        Cost::moving(x.iter().chain(results)).with_flops(comparisons)
    }

    fn samples() -> Vec<Sample> {
        let sort = |dim: usize, descending: bool, operand| Sample::of_op(Sort { dim, descending }, vec![operand]);
        vec![
            sort(1, false, sample::spread(&[2, 5, 3], 0, &(-1.0..1.0))),
            sort(0, true, sample::spread(&[7], 1, &(-1.0..1.0))),
            // Ties.
            sort(0, false, sample::integers(DType::I32, &[5], &[3, -1, 3, 0, -1])),
            sort(0, true, sample::integers(DType::U32, &[5], &[3, 1, 3, 4_000_000_000, 1])),
        ]
    }
}
