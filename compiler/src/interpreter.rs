//! The reference: evaluates a program on f64, one operation at a time, by each operation's own `eval`. Slow and plain;
//! tests compare XLA with it.

use std::collections::HashMap;

use ndarray::ArrayD;
use twinflow_array::{DType, TensorType};

use crate::program::{Program, ValueId};

/// The outputs of `program` for these inputs; integers and truth values are held as f64.
pub fn interpret(program: &Program, inputs: &[ArrayD<f64>]) -> Vec<ArrayD<f64>> {
    let mut values: HashMap<ValueId, ArrayD<f64>> =
        program.inputs.iter().copied().zip(inputs.iter().cloned()).collect();
    for instruction in &program.instructions {
        let operands: Vec<ArrayD<f64>> = instruction.operands.iter().map(|value| values[value].clone()).collect();
        let types: Vec<TensorType> = instruction.results.iter().map(|&value| program.ty(value).clone()).collect();
        let results = instruction.op.eval(&operands, &types);
        for ((&value, result), ty) in instruction.results.iter().zip(results).zip(&types) {
            values.insert(value, wrap(result, ty.dtype));
        }
    }
    program.outputs.iter().map(|value| values[value].clone()).collect()
}

/// Reduces values to what the element type can hold: integers truncate and wrap, truth values are 0 or 1.
pub fn wrap(array: ArrayD<f64>, dtype: DType) -> ArrayD<f64> {
    match dtype {
        DType::Bool => array.mapv(|value| f64::from(u8::from(value != 0.0))),
        DType::U8 => array.mapv(|value| f64::from(value as i64 as u8)),
        DType::I32 => array.mapv(|value| f64::from(value as i64 as i32)),
        DType::U32 => array.mapv(|value| f64::from(value as i64 as u32)),
        DType::I64 | DType::U64 => array.mapv(f64::trunc),
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => array,
    }
}
