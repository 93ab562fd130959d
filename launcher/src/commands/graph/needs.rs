//! What a program needs on a device.

use std::collections::BTreeMap;

use serde::Serialize;
use twinflow_compiler::{
    Cost, ProgramCost,
    pjrt::{MemoryPlan, PjrtError},
};
use twinflow_runtime::target::Target;

/// What a program needs on one device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Needs {
    /// The program's name.
    pub program: String,
    /// Seconds of compiling.
    pub compile_seconds: f64,
    /// XLA's plan.
    pub memory: Memory,
    /// Whether the device has as much, if that is known.
    pub fits: Option<bool>,
    /// Counted in the graph.
    pub cost: Counts,
    /// The cost by module scope, outside of all modules the empty one.
    pub scopes: BTreeMap<String, Counts>,
    /// Loops of a length that only the run decides, counted as one step each.
    pub open_loops: usize,
    /// What the device's peak rates allow at best, if they are known.
    pub least_seconds: Option<f64>,
    /// How it ran, if it was tried.
    pub trial: Option<Trial>,
}

/// How a program ran once.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trial {
    /// To its end.
    Ran,
    /// With the plugin's message.
    Failed(String),
}

impl Trial {
    pub fn of(result: Result<(), PjrtError>) -> Self {
        result.map_or_else(|error| Trial::Failed(error.to_string()), |()| Trial::Ran)
    }
}

/// Bytes on one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Arguments.
    pub argument: u64,
    /// Outputs.
    pub output: u64,
    /// Outputs that lie in donated arguments.
    pub alias: u64,
    /// Intermediate values.
    pub temporary: u64,
    /// The most at once.
    pub peak: u64,
}

/// A [`Cost`] as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Operations.
    pub flops: u64,
    /// Those in matrix products and convolutions.
    pub product_flops: u64,
    /// Bytes moved by each operation by itself.
    pub bytes: u64,
}

impl From<Cost> for Counts {
    fn from(Cost { flops, product_flops, bytes }: Cost) -> Self {
        Counts { flops, product_flops, bytes }
    }
}

impl From<MemoryPlan> for Memory {
    /// Temporaries are one block, taken before the program starts, so that it holds arguments, outputs and the block at
    /// once; the plugin's own peak leaves gaps in the block out.
    fn from(plan: MemoryPlan) -> Self {
        let MemoryPlan { argument, output, alias, temp: temporary, .. } = plan;
        Memory {
            argument,
            output,
            alias,
            temporary,
            peak: (argument + output - alias.min(output) + temporary).max(plan.peak),
        }
    }
}

impl Needs {
    /// Puts a program's figures together.
    pub fn new(program: &str, memory: MemoryPlan, compile_seconds: f64, cost: &ProgramCost, target: &Target) -> Self {
        let memory = Memory::from(memory);
        let scopes = cost.scopes.iter().map(|(scope, cost)| (scope.clone(), Counts::from(*cost))).collect();
        let total = cost.total();
        Needs {
            program: program.to_owned(),
            compile_seconds,
            memory,
            fits: target.memory_for_a_run.map(|most| memory.peak <= most),
            cost: total.into(),
            scopes,
            open_loops: cost.open_loops,
            trial: None,
            least_seconds: target.rates.map(|rates| least_seconds(&memory, &total, rates)),
        }
    }
}

/// The longer of: reading the arguments and writing the outputs once, and making the products at the peak rate.
fn least_seconds(memory: &Memory, cost: &Cost, (bandwidth, product_rate): (f64, Option<f64>)) -> f64 {
    let moving = (memory.argument + memory.output) as f64 / bandwidth;
    moving.max(product_rate.map_or(0.0, |rate| cost.product_flops as f64 / rate))
}
