//! A whole program as a StableHLO module.

use std::collections::HashMap;

use twinflow_array::TensorType;

use super::{Block, Products, Value};
use crate::program::{Program, ValueId};

/// The module's text; its function is `main`. `locations` adds each operation's module path and source line,
/// for profiles.
pub fn lower(program: &Program, name: &str, products: Products, locations: bool) -> String {
    let mut block = Block::new(products, locations);
    let aliases = alias_outputs(program);
    let inputs: Vec<Value> = program
        .inputs
        .iter()
        .enumerate()
        .map(|(i, &v)| Value { name: format!("%arg{i}"), ty: program.ty(v).clone() })
        .collect();
    let params: Vec<String> = inputs
        .iter()
        .enumerate()
        .map(|(i, value)| format!("{}: {}{}", value.name, value.ty.mlir(), input_attributes(program, i, &aliases)))
        .collect();
    let results: Vec<String> = program.output_types().iter().map(TensorType::mlir).collect();
    block.line(&format!("module @{name} {{"));
    block.indented(|block| {
        block.line(&format!("func.func public @main({}) -> ({}) {{", params.join(", "), results.join(", ")));
        block.indented(|block| {
            let outputs = lower_body(program, &inputs, block);
            block.line(&format!("return {}", list(&outputs)));
        });
        block.line("}");
    });
    let functions = block.take_functions();
    functions.iter().flat_map(|function| function.lines()).for_each(|line| block.line(line));
    block.line("}");
    block.into_text()
}

/// `%a, %b : type, type`.
fn list(values: &[Value]) -> String {
    let names: Vec<&str> = values.iter().map(|value| value.name.as_str()).collect();
    let types: Vec<String> = values.iter().map(|value| value.ty.mlir()).collect();
    if values.is_empty() { String::new() } else { format!("{} : {}", names.join(", "), types.join(", ")) }
}

/// The instructions of a body inside a region, or in place of an operation; returns the outputs' values.
pub fn lower_body(program: &Program, inputs: &[Value], block: &mut Block) -> Vec<Value> {
    let mut values: HashMap<ValueId, Value> = program.inputs.iter().copied().zip(inputs.iter().cloned()).collect();
    for instruction in &program.instructions {
        let operands: Vec<Value> = instruction.operands.iter().map(|value| values[value].clone()).collect();
        let types: Vec<TensorType> = instruction.results.iter().map(|&value| program.ty(value).clone()).collect();
        let results = block.at(instruction, |block| instruction.op.lower(&operands, &types, block));
        values.extend(instruction.results.iter().copied().zip(results));
    }
    program.outputs.iter().map(|value| values[value].clone()).collect()
}

fn input_attributes(program: &Program, index: usize, aliases: &HashMap<usize, usize>) -> String {
    match aliases.get(&index) {
        Some(output) => format!(" {{tf.aliasing_output = {output} : i32}}"),
        None if index < program.donated => " {jax.buffer_donor = true}".to_owned(),
        None => String::new(),
    }
}

/// Which output takes over which donated input's memory: equal names first, then equal types in order.
fn alias_outputs(program: &Program) -> HashMap<usize, usize> {
    let mut aliases = HashMap::new();
    let mut taken = vec![false; program.outputs.len()];
    let (inputs, outputs) = (program.input_types(), program.output_types());
    let same_name = |i: usize, o: usize| program.input_names.get(i) == program.output_names.get(o);
    for by_name in [true, false] {
        for (input, ty) in inputs.iter().enumerate().take(program.donated) {
            if aliases.contains_key(&input) {
                continue;
            }
            let fits = |&o: &usize| !taken[o] && outputs[o] == *ty && (!by_name || same_name(input, o));
            if let Some(output) = (0..outputs.len()).find(fits) {
                taken[output] = true;
                aliases.insert(input, output);
            }
        }
    }
    aliases
}
