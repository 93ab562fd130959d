//! Sample applications of operations, for the tests that run over all of them.

use std::{ops::Range, sync::Arc};

use twinflow_array::{DType, HostArray, Shape, TensorType};

use crate::{
    primitive::{Op, Primitive, Sample, fixed},
    trace::{Tensor, Trace},
};

impl Sample {
    /// Applies the operation to tensors in place of its operands.
    #[track_caller]
    pub fn apply<'t>(&self, trace: &'t Trace, operands: &[Tensor<'t>]) -> Vec<Tensor<'t>> {
        trace.record(self.op.clone(), operands)
    }

    /// A primitive on f64 operands of these shapes with values spread over `range`.
    pub(crate) fn uniform<const N: usize, P: Primitive<N>>(op: P, shapes: [&[usize]; N], range: Range<f64>) -> Self {
        let operands = shapes.iter().enumerate().map(|(i, shape)| spread(shape, i, &range)).collect();
        Sample { op: fixed(op), operands }
    }

    /// A primitive on the given operands.
    pub(crate) fn of<const N: usize, P: Primitive<N>>(op: P, operands: [HostArray; N]) -> Self {
        Sample { op: fixed(op), operands: operands.into() }
    }

    /// An operation on the given operands.
    pub(crate) fn of_op(op: impl Op, operands: Vec<HostArray>) -> Self {
        Sample { op: Arc::new(op), operands }
    }
}

/// An f64 array of distinct values spread over `range` in a scrambled order; `seed` varies the order.
pub(crate) fn spread(shape: &[usize], seed: usize, range: &Range<f64>) -> HostArray {
    let shape = Shape::from(shape);
    let n = shape.elements().max(1);
    // Multiples of the golden ratio modulo 1 never repeat and stay about 1/n apart: no ties for max and sort.
    let golden = |i: usize| ((i + 1 + 37 * seed) as f64 * 0.618_033_988_749_894_9).fract();
    let values: Vec<f64> = (0..n).map(|i| range.start + (range.end - range.start) * golden(i)).collect();
    HostArray::from_f64(TensorType::new(DType::F64, shape.clone()), &values[..shape.elements()]).expect("n values")
}

/// An integer array with the given values.
pub(crate) fn integers(dtype: DType, shape: &[usize], values: &[i64]) -> HostArray {
    let values: Vec<f64> = values.iter().map(|&value| value as f64).collect();
    HostArray::from_f64(TensorType::new(dtype, shape), &values).expect("the values fill the shape")
}
