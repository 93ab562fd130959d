//! Programs as text that a person can read.

use std::fmt::{self, Write};

use super::{Instruction, Program, ValueId};

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_program(self, f, 0)
    }
}

fn write_program(program: &Program, f: &mut dyn Write, depth: usize) -> fmt::Result {
    let indent = "  ".repeat(depth);
    let inputs: Vec<String> = program.inputs.iter().enumerate().map(|(i, &v)| declare_input(program, i, v)).collect();
    if program.input_names.is_empty() {
        writeln!(f, "{indent}({}) {{", inputs.join(", "))?;
    } else {
        writeln!(f, "{indent}(\n{indent}  {}\n{indent}) {{", inputs.join(&format!(",\n{indent}  ")))?;
    }
    let mut scope = "";
    for instruction in &program.instructions {
        if *instruction.scope != *scope {
            scope = &instruction.scope;
            writeln!(f, "{indent}  // {}", if scope.is_empty() { "-" } else { scope })?;
        }
        write_instruction(program, instruction, f, depth + 1)?;
    }
    let outputs: Vec<String> = program.outputs.iter().map(|&v| show(v)).collect();
    writeln!(f, "{indent}  return {}", outputs.join(", "))?;
    writeln!(f, "{indent}}}")
}

fn declare_input(program: &Program, index: usize, value: ValueId) -> String {
    let name = program.input_names.get(index).map_or(String::new(), |path| format!(" '{path}'"));
    let donated = if index < program.donated { " donated" } else { "" };
    format!("{}: {}{name}{donated}", show(value), program.ty(value))
}

fn write_instruction(program: &Program, instruction: &Instruction, f: &mut dyn Write, depth: usize) -> fmt::Result {
    let indent = "  ".repeat(depth);
    let results: Vec<String> = instruction.results.iter().map(|&v| format!("{}: {}", show(v), program.ty(v))).collect();
    let operands: Vec<String> = instruction.operands.iter().map(|&v| show(v)).collect();
    let attributes = instruction.op.attributes();
    let attributes = if attributes.is_empty() { String::new() } else { format!(" {attributes}") };
    writeln!(f, "{indent}{} = {}({}){attributes}", results.join(", "), instruction.op.name(), operands.join(", "))?;
    instruction.op.programs().into_iter().try_for_each(|body| write_program(body, f, depth + 1))
}

fn show(value: ValueId) -> String {
    format!("%{}", value.index())
}
