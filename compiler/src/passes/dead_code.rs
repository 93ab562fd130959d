//! Dead code: instructions whose results nobody reads, and dead parts of loops.

use std::collections::HashSet;

use crate::{
    primitive::Pruned,
    program::{Instruction, Program, ValueId},
};

/// Removes what no output depends on; inside scans too, with the operands that then serve nothing.
pub fn eliminate_dead_code(mut program: Program) -> Program {
    let mut live: HashSet<ValueId> = program.outputs.iter().copied().collect();
    let mut kept = Vec::with_capacity(program.instructions.len());
    for instruction in program.instructions.into_iter().rev() {
        if instruction.results.iter().any(|result| live.contains(result)) {
            let instruction = prune(instruction, &live);
            live.extend(&instruction.operands);
            kept.push(instruction);
        }
    }
    kept.reverse();
    program.instructions = kept;
    program
}

fn prune(instruction: Instruction, live: &HashSet<ValueId>) -> Instruction {
    let Some(bodies) = instruction.op.bodies() else { return instruction };
    let read: Vec<bool> = instruction.results.iter().map(|result| live.contains(result)).collect();
    let Some(Pruned { op, operands, results }) = bodies.prune(&read) else {
        let programs = bodies.programs().into_iter().cloned().map(eliminate_dead_code);
        return Instruction { op: bodies.with_programs(programs.collect()), ..instruction };
    };
    let pick = |values: &[ValueId], kept: &[usize]| kept.iter().map(|&i| values[i]).collect();
    Instruction {
        operands: pick(&instruction.operands, &operands),
        results: pick(&instruction.results, &results),
        op,
        ..instruction
    }
}
