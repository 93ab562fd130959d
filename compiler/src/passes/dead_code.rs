//! Dead code: instructions whose results nobody reads, and dead parts of loops.

use std::{collections::HashSet, sync::Arc};

use crate::{
    ops::scan::Scan,
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
    let Some(scan) = instruction.op.as_any().downcast_ref::<Scan>() else {
        return simplify_bodies(instruction);
    };
    let read: Vec<bool> = instruction.results.iter().map(|result| live.contains(result)).collect();
    let pruned = scan.prune(&read);
    let pick = |values: &[ValueId], kept: &[usize]| kept.iter().map(|&i| values[i]).collect();
    Instruction {
        operands: pick(&instruction.operands, &pruned.operands),
        results: pick(&instruction.results, &pruned.results),
        op: Arc::new(pruned.scan),
        ..instruction
    }
}

fn simplify_bodies(mut instruction: Instruction) -> Instruction {
    let bodies: Vec<Program> = instruction.op.bodies().into_iter().cloned().map(eliminate_dead_code).collect();
    if let Some(op) = instruction.op.with_bodies(bodies) {
        instruction.op = op;
    }
    instruction
}
