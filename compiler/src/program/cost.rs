//! What a program computes and moves, counted from its operations by each one's own rule.
//!
//! The counts are of the program as it is traced and simplified, before XLA's passes. Bytes are those of every operation
//! by itself: XLA fuses most of them away, so they are an upper bound of the traffic to memory.

use std::collections::BTreeMap;

use twinflow_array::TensorType;

use super::{Program, ValueId};
use crate::cost::Cost;

/// The cost of a program by the module scopes that its operations were recorded in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgramCost {
    /// Each operation counts in its own scope, not in those around it; outside of all modules the scope is empty.
    pub scopes: BTreeMap<String, Cost>,
    /// Loops whose number of steps only the run decides: each is counted as one step.
    pub open_loops: usize,
}

impl ProgramCost {
    /// The whole.
    pub fn total(&self) -> Cost {
        let mut total = Cost::FREE;
        self.scopes.values().for_each(|cost| total += *cost);
        total
    }

    /// Adds `runs` runs of a program; what has no scope of its own counts in `scope`.
    fn add(&mut self, program: &Program, scope: &str, runs: u64) {
        for instruction in &program.instructions {
            let scope = if instruction.scope.is_empty() { scope } else { &instruction.scope };
            let types =
                |values: &[ValueId]| values.iter().map(|&value| program.ty(value).clone()).collect::<Vec<TensorType>>();
            let cost = instruction.op.cost(&types(&instruction.operands), &types(&instruction.results));
            *self.scopes.entry(scope.to_owned()).or_default() += cost * runs;
            let Some(bodies) = instruction.op.bodies() else { continue };
            self.open_loops += usize::from(bodies.steps().is_none());
            let runs = runs * bodies.steps().unwrap_or(1);
            bodies.programs().into_iter().for_each(|body| self.add(body, scope, runs));
        }
    }
}

impl Program {
    /// What one run of it computes and moves. Steps of a scan and a second pass under remat count as often as they run;
    /// what a derivative rule recorded counts in the scope of what it derives.
    pub fn cost(&self) -> ProgramCost {
        let mut cost = ProgramCost::default();
        cost.add(self, "", 1);
        cost
    }
}
