//! The optimization barrier: XLA moves and shares nothing across it.

use std::sync::Arc;

use ndarray::ArrayD;
use twinflow_array::TensorType;

use super::prelude::*;

/// `y = x` for all operands at once: every result waits for every operand.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimizationBarrier;

/// The same tensors behind a barrier: none is available before all are.
#[track_caller]
pub fn optimization_barrier<'t>(tensors: &[Tensor<'t>]) -> Vec<Tensor<'t>> {
    match tensors.first() {
        Some(first) => first.trace().record(Arc::new(OptimizationBarrier), tensors),
        None => Vec::new(),
    }
}

impl Op for OptimizationBarrier {
    fn name(&self) -> &'static str {
        "optimization_barrier"
    }

    fn properties(&self) -> Properties {
        Properties::SAVE
    }

    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, TypeError> {
        Ok(operands.to_vec())
    }

    fn lower(&self, operands: &[Value], results: &[TensorType], block: &mut Block) -> Vec<Value> {
        let names: Vec<&str> = operands.iter().map(|value| value.name.as_str()).collect();
        let types: Vec<String> = results.iter().map(TensorType::mlir).collect();
        block.emit_many(&format!("stablehlo.optimization_barrier {} : {}", names.join(", "), types.join(", ")), results)
    }

    fn vjp<'t>(&self, _: &[Tensor<'t>], _: &[Tensor<'t>], y_bar: &[Option<Tensor<'t>>]) -> Vec<Option<Tensor<'t>>> {
        y_bar.to_vec()
    }

    fn jvp<'t>(&self, _: &[Tensor<'t>], _: &[Tensor<'t>], x_dot: &[Option<Tensor<'t>>]) -> Vec<Option<Tensor<'t>>> {
        x_dot.to_vec()
    }

    fn eval(&self, operands: &[ArrayD<f64>], _: &[TensorType]) -> Vec<ArrayD<f64>> {
        operands.to_vec()
    }

    fn cost(&self, _: &[TensorType], _: &[TensorType]) -> Cost {
        Cost::FREE
    }

    fn samples() -> Vec<Sample> {
        let operands = (0..2).map(|seed| sample::spread(&[2, 3], seed, &(-1.0..1.0))).collect();
        vec![Sample::of_op(OptimizationBarrier, operands)]
    }
}
