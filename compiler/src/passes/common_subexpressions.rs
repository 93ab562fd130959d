//! Common subexpressions: equal operations on equal operands are computed once.

use std::collections::HashMap;

use super::in_bodies;
use crate::program::{Instruction, Program, ValueId};

/// Shares equal instructions, and drops those that give their operand as it is. Operations with bodies and barriers stay
/// apart: remat computes twice on purpose.
pub fn share_common_subexpressions(program: Program) -> Program {
    let mut program = in_bodies(program, share_common_subexpressions);
    let mut same: HashMap<ValueId, ValueId> = HashMap::new();
    let mut kept: Vec<Instruction> = Vec::with_capacity(program.instructions.len());
    // Of each name and operands, the instructions kept.
    let mut seen: HashMap<(&'static str, Vec<ValueId>), Vec<usize>> = HashMap::new();
    for mut instruction in program.instructions {
        for operand in &mut instruction.operands {
            *operand = same.get(operand).copied().unwrap_or(*operand);
        }
        if instruction.op.properties().is_identity {
            same.insert(instruction.results[0], instruction.operands[0]);
            continue;
        }
        let alike = seen.entry((instruction.op.name(), instruction.operands.clone())).or_default();
        match alike.iter().find(|&&earlier| kept[earlier].op.equals(&*instruction.op)) {
            Some(&earlier) => same.extend(instruction.results.into_iter().zip(kept[earlier].results.iter().copied())),
            None => {
                alike.push(kept.len());
                kept.push(instruction);
            }
        }
    }
    program.instructions = kept;
    program.outputs.iter_mut().for_each(|output| *output = same.get(output).copied().unwrap_or(*output));
    program
}
