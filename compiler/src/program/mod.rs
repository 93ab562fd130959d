//! Programs: straight-line lists of typed instructions, the tracer's result and every pass's input.

mod cost;
mod print;

pub use cost::ProgramCost;

use std::{collections::HashMap, panic::Location, sync::Arc};

use twinflow_array::{ParamPath, TensorType};

use crate::{
    primitive::Op,
    trace::{Tensor, Trace},
};

/// The number of a value inside its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) u32);

impl ValueId {
    /// The number as an index into [`Program::types`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One application of an operation.
#[derive(Clone, Debug)]
pub struct Instruction {
    /// The operation with its attributes.
    pub op: Arc<dyn Op>,
    /// The values it reads.
    pub operands: Vec<ValueId>,
    /// The values it makes.
    pub results: Vec<ValueId>,
    /// The module scopes around it: `blocks/attn`.
    pub scope: Arc<str>,
    /// The line of the model that applied it.
    pub location: &'static Location<'static>,
}

/// A closed function from inputs to outputs: no value comes from outside.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// The parameters, in order.
    pub inputs: Vec<ValueId>,
    /// The body, in the order of evaluation.
    pub instructions: Vec<Instruction>,
    /// The results, in order.
    pub outputs: Vec<ValueId>,
    /// The type of every value.
    pub types: Vec<TensorType>,
    /// The names of the inputs (empty for bodies).
    pub input_names: Vec<ParamPath>,
    /// The names of the outputs (empty for bodies).
    pub output_names: Vec<ParamPath>,
    /// How many of the first inputs may be overwritten by the outputs.
    pub donated: usize,
}

impl Program {
    /// The type of a value.
    pub fn ty(&self, value: ValueId) -> &TensorType {
        &self.types[value.index()]
    }

    /// The types of the inputs, in order.
    pub fn input_types(&self) -> Vec<TensorType> {
        self.inputs.iter().map(|&value| self.ty(value).clone()).collect()
    }

    /// The types of the outputs, in order.
    pub fn output_types(&self) -> Vec<TensorType> {
        self.outputs.iter().map(|&value| self.ty(value).clone()).collect()
    }

    /// Adds inputs that nothing reads, before the input number `at`.
    pub(crate) fn insert_inputs(&mut self, at: usize, types: Vec<TensorType>) {
        let first = self.types.len() as u32;
        let values = (first..).map(ValueId).take(types.len()).collect::<Vec<_>>();
        self.types.extend(types);
        self.inputs.splice(at..at, values);
    }

    /// Records the body's instructions again in the open graph of `trace`, with `inputs` in place of the parameters.
    pub fn replay<'t>(&self, trace: &'t Trace, inputs: &[Tensor<'t>]) -> Vec<Tensor<'t>> {
        let mut values: HashMap<ValueId, Tensor<'t>> =
            self.inputs.iter().copied().zip(inputs.iter().copied()).collect();
        for instruction in &self.instructions {
            let operands: Vec<Tensor<'t>> = instruction.operands.iter().map(|value| values[value]).collect();
            let results = trace.record_in(&instruction.scope, instruction.op.clone(), &operands, instruction.location);
            values.extend(instruction.results.iter().copied().zip(results));
        }
        self.outputs.iter().map(|value| values[value]).collect()
    }

    /// How often each operation occurs, bodies included, sorted by name.
    pub fn histogram(&self) -> Vec<(&'static str, usize)> {
        let mut counts = std::collections::BTreeMap::new();
        self.for_each_instruction(&mut |instruction| *counts.entry(instruction.op.name()).or_default() += 1);
        counts.into_iter().collect()
    }

    /// Calls `f` on every instruction, those of bodies included.
    pub fn for_each_instruction<'a>(&'a self, f: &mut dyn FnMut(&'a Instruction)) {
        for instruction in &self.instructions {
            f(instruction);
            instruction.op.programs().into_iter().for_each(|body| body.for_each_instruction(f));
        }
    }
}
