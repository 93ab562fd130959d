//! Constants: scalar arithmetic on known numbers is done once, and neutral elements vanish.

use std::collections::HashMap;

use ndarray::ArrayD;
use twinflow_array::{DType, HostArray, TensorType};

use super::in_bodies;
use crate::{
    interpreter::wrap,
    ops::constant::Constant,
    primitive::fixed,
    program::{Instruction, Program, ValueId},
    properties::Fold,
};

/// Folds operations on scalar constants, and `x + 0`, `x - 0`, `x * 1`, `x / 1` with a constant that is the same
/// everywhere. (`x * 0` stays: it is not 0 where x is infinite.)
pub fn fold_constants(program: Program) -> Program {
    let mut program = in_bodies(program, fold_constants);
    let mut known: HashMap<ValueId, f64> = HashMap::new();
    let mut same: HashMap<ValueId, ValueId> = HashMap::new();
    let types = std::mem::take(&mut program.types);
    let mut kept = Vec::with_capacity(program.instructions.len());
    for mut instruction in std::mem::take(&mut program.instructions) {
        for operand in &mut instruction.operands {
            *operand = same.get(operand).copied().unwrap_or(*operand);
        }
        if let Some(operand) = unchanged(&instruction, &known, &types) {
            same.insert(instruction.results[0], operand);
            continue;
        }
        if let Some(value) = splat_value(&instruction, &known, &types) {
            known.insert(instruction.results[0], value);
            instruction = as_constant(instruction, value, &types);
        }
        kept.push(instruction);
    }
    program.instructions = kept;
    program.types = types;
    program.outputs.iter_mut().for_each(|output| *output = same.get(output).copied().unwrap_or(*output));
    program
}

/// The operand that an operation with a neutral element returns as it is.
fn unchanged(instruction: &Instruction, known: &HashMap<ValueId, f64>, types: &[TensorType]) -> Option<ValueId> {
    let [a, b] = instruction.operands[..] else { return None };
    let is = |value: ValueId, neutral: Option<f64>| neutral.is_some() && known.get(&value).copied() == neutral;
    let [first, second] = instruction.op.properties().neutral;
    let result = match (is(a, first), is(b, second)) {
        (_, true) => a,
        (true, _) => b,
        _ => return None,
    };
    (types[result.index()] == types[instruction.results[0].index()]).then_some(result)
}

/// The number that fills the result, if it is known.
fn splat_value(instruction: &Instruction, known: &HashMap<ValueId, f64>, types: &[TensorType]) -> Option<f64> {
    let ty = &types[instruction.results.first()?.index()];
    if let Some(Constant { value }) = instruction.op.primitive() {
        return (ty.shape.elements() == 1).then(|| value.to_f64()[0]).filter(|&value| is_exact(ty, value));
    }
    let operands: Vec<f64> =
        instruction.operands.iter().map(|value| known.get(value).copied()).collect::<Option<_>>()?;
    match instruction.op.properties().fold {
        Fold::Rearranged => operands.first().copied(),
        Fold::Scalar if ty.shape.rank() == 0 => {
            let scalars: Vec<ArrayD<f64>> = operands.iter().map(|&value| ArrayD::from_elem(vec![], value)).collect();
            let result = instruction.op.eval(&scalars, std::slice::from_ref(ty)).swap_remove(0);
            let exact = HostArray::from_f64(ty.clone(), &[wrap(result, ty.dtype).sum()]).ok()?;
            Some(exact.to_f64()[0]).filter(|&value| is_exact(ty, value))
        }
        _ => None,
    }
}

/// Whether f64 holds the number exactly: it holds all but large 64-bit integers.
fn is_exact(ty: &TensorType, value: f64) -> bool {
    !matches!(ty.dtype, DType::I64 | DType::U64) || value.abs() < 2f64.powi(53)
}

/// A scalar becomes a constant; a filled tensor stays a broadcast, which is small in every form.
fn as_constant(instruction: Instruction, value: f64, types: &[TensorType]) -> Instruction {
    let ty = &types[instruction.results[0].index()];
    match HostArray::from_f64(ty.clone(), &[value]) {
        Ok(value) if ty.shape.rank() == 0 => {
            Instruction { op: fixed(Constant { value }), operands: Vec::new(), ..instruction }
        }
        _ => instruction,
    }
}
