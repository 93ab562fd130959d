//! Dead code through a scan: results that nobody reads, and operands that the rest does not need.

use std::sync::Arc;

use super::Scan;
use crate::{passes::eliminate_dead_code, primitive::Pruned, program::Program};

impl Scan {
    /// Drops ys that are not read, carries that serve nothing, and operands that the body then ignores.
    pub(super) fn without_dead_parts(&self, read: &[bool]) -> Pruned {
        let mut live: Vec<bool> = read.to_vec();
        let (body, used) = loop {
            let outputs = self.body.outputs.iter().zip(&live).filter(|(_, live)| **live).map(|(value, _)| *value);
            let body = eliminate_dead_code(Program { outputs: outputs.collect(), ..(*self.body).clone() });
            let used = used_inputs(&body);
            // A carry that the live part reads must be computed: it is live too.
            let missing = (0..self.carries).find(|&i| used[i] && !live[i]);
            match missing {
                Some(i) => live[i] = true,
                None => break (body, used),
            }
        };
        let keep_input = |i: &usize| if *i < self.carries { live[*i] } else { used[*i] };
        let operands: Vec<usize> = (0..self.body.inputs.len()).filter(keep_input).collect();
        let results: Vec<usize> = (0..self.body.outputs.len()).filter(|&i| live[i]).collect();
        let inputs = operands.iter().map(|&i| body.inputs[i]).collect();
        let scan = Scan {
            body: Arc::new(Program { inputs, ..body }),
            carries: results.iter().filter(|&&i| i < self.carries).count(),
            xs: operands.iter().filter(|&&i| (self.carries..self.carries + self.xs).contains(&i)).count(),
            reverse_rule: None,
            ..self.clone()
        };
        Pruned { op: Arc::new(scan), operands, results }
    }
}

fn used_inputs(body: &Program) -> Vec<bool> {
    let read = |value: &_| {
        body.outputs.contains(value) || body.instructions.iter().any(|instruction| instruction.operands.contains(value))
    };
    body.inputs.iter().map(read).collect()
}
