//! Common subexpressions: equal operations on equal operands are computed once.

use std::collections::HashMap;

use super::in_bodies;
use crate::{
    ops::constant::Constant,
    primitive::Op,
    program::{Program, ValueId},
};

/// Shares equal instructions. Operations with bodies and barriers stay apart: remat computes twice on purpose.
pub fn share_common_subexpressions(program: Program) -> Program {
    let mut program = in_bodies(program, share_common_subexpressions);
    let mut same: HashMap<ValueId, ValueId> = HashMap::new();
    let mut seen: HashMap<(&'static str, String, Vec<ValueId>), Vec<ValueId>> = HashMap::new();
    let mut kept = Vec::with_capacity(program.instructions.len());
    for mut instruction in program.instructions {
        for operand in &mut instruction.operands {
            *operand = same.get(operand).copied().unwrap_or(*operand);
        }
        let name = instruction.op.name();
        if matches!(name, "alias" | "stop_gradient") {
            same.insert(instruction.results[0], instruction.operands[0]);
            continue;
        }
        if !instruction.op.bodies().is_empty() || name == "optimization_barrier" {
            kept.push(instruction);
            continue;
        }
        let key = (name, identity(&*instruction.op), instruction.operands.clone());
        if let Some(results) = seen.get(&key) {
            same.extend(instruction.results.iter().copied().zip(results.iter().copied()));
        } else {
            seen.insert(key, instruction.results.clone());
            kept.push(instruction);
        }
    }
    program.instructions = kept;
    program.outputs.iter_mut().for_each(|output| *output = same.get(output).copied().unwrap_or(*output));
    program
}

/// What tells equal operations apart. Listings cut long constants short, so their bytes speak for them.
fn identity(op: &dyn Op) -> String {
    match op.as_any().downcast_ref::<Constant>() {
        Some(Constant { value }) => format!("{} {:?}", value.ty(), value.bytes()),
        None => op.attributes(),
    }
}
