//! What a program computes and moves, counted from its operations by each one's own rule.
//!
//! The counts are of the program as it is traced and simplified, before XLA's passes. Bytes are those of every operation
//! by itself: XLA fuses most of them away, so they are an upper bound of the traffic to memory.

use std::{
    collections::BTreeMap,
    ops::{AddAssign, Mul},
};

use twinflow_array::TensorType;

use crate::program::{Program, ValueId};

/// What an operation or a program computes and moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Operations on numbers: a product and a sum are two; a function, comparison or integer operation of an element is
    /// one; changes of type or place are none.
    pub flops: u64,
    /// Those of them in matrix products and convolutions.
    pub product_flops: u64,
    /// Bytes read and written.
    pub bytes: u64,
}

impl Cost {
    /// The result is the operand under another name.
    pub const FREE: Cost = Cost { flops: 0, product_flops: 0, bytes: 0 };

    /// These arrays are read or written, each once.
    pub(crate) fn moving<'a>(arrays: impl IntoIterator<Item = &'a TensorType>) -> Self {
        Cost { bytes: arrays.into_iter().map(|ty| ty.bytes() as u64).sum(), ..Cost::FREE }
    }

    /// One operation for each element of `y`, from the operands `x`.
    pub(crate) fn elementwise<'a>(x: impl IntoIterator<Item = &'a TensorType>, y: &'a TensorType) -> Self {
        Cost::moving(x.into_iter().chain([y])).with_flops(y.shape.elements())
    }

    /// The same with so many operations.
    pub(crate) fn with_flops(self, flops: usize) -> Self {
        Cost { flops: flops as u64, ..self }
    }

    /// The same with so many pairs of a product and a sum.
    pub(crate) fn with_products(self, pairs: usize) -> Self {
        let flops = 2 * pairs as u64;
        Cost { flops, product_flops: flops, ..self }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Cost) {
        self.flops += other.flops;
        self.product_flops += other.product_flops;
        self.bytes += other.bytes;
    }
}

impl Mul<u64> for Cost {
    type Output = Cost;

    fn mul(self, times: u64) -> Cost {
        let Cost { flops, product_flops, bytes } = self;
        Cost { flops: flops * times, product_flops: product_flops * times, bytes: bytes * times }
    }
}

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
