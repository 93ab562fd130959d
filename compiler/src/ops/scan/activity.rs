//! What of a scan depends on the variables that derivatives are taken for.

use std::collections::HashSet;

use super::Scan;
use crate::program::{Program, ValueId};

/// The indices at which a mask holds.
pub(super) fn positions(mask: &[bool]) -> Vec<usize> {
    mask.iter().enumerate().filter(|(_, holds)| **holds).map(|(i, _)| i).collect()
}

/// Which outputs of a program depend on the active inputs with a derivative.
fn active_outputs(program: &Program, inputs: &[bool]) -> Vec<bool> {
    let float = |value: &ValueId| program.ty(*value).dtype.is_float();
    let mut active: HashSet<ValueId> =
        program.inputs.iter().zip(inputs).filter(|(value, on)| **on && float(value)).map(|(value, _)| *value).collect();
    for instruction in program.instructions.iter().filter(|instruction| !instruction.op.properties().blocks_gradient) {
        if instruction.operands.iter().any(|operand| active.contains(operand)) {
            active.extend(instruction.results.iter().copied().filter(float));
        }
    }
    program.outputs.iter().map(|output| active.contains(output)).collect()
}

impl Scan {
    /// Which of the body's inputs depend on the active operands, once the carries have gone round.
    pub(super) fn active_inputs(&self, operands: &[bool]) -> Vec<bool> {
        let mut active = operands.to_vec();
        loop {
            let outputs = active_outputs(&self.body, &active);
            let before = active.clone();
            active.iter_mut().zip(&outputs[..self.carries]).for_each(|(input, output)| *input |= *output);
            if active == before {
                return active;
            }
        }
    }

    /// Which results depend on the active inputs. A carry whose input is active counts, even where the body replaces it
    /// by what is not: derivative loops have their carries' (co)tangents as carries, so these come in as they go out.
    pub(super) fn active_results(&self, inputs: &[bool]) -> Vec<bool> {
        let mut active = active_outputs(&self.body, inputs);
        active[..self.carries].copy_from_slice(&inputs[..self.carries]);
        active
    }
}
