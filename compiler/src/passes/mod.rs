//! Simplification of programs before they are lowered. Bodies are simplified too.

mod common_subexpressions;
mod constants;
mod dead_code;

pub use common_subexpressions::share_common_subexpressions;
pub use constants::fold_constants;
pub use dead_code::eliminate_dead_code;

use crate::program::Program;

/// All passes: constants, then common subexpressions, then dead code.
pub fn simplify(program: Program) -> Program {
    eliminate_dead_code(share_common_subexpressions(fold_constants(program)))
}

/// The program with `pass` run over the bodies of its loops.
fn in_bodies(mut program: Program, pass: fn(Program) -> Program) -> Program {
    for instruction in &mut program.instructions {
        if let Some(bodies) = instruction.op.bodies() {
            instruction.op = bodies.with_programs(bodies.programs().into_iter().cloned().map(pass).collect());
        }
    }
    program
}
