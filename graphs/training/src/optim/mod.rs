//! Optimizers, schedules and the average to sample from, as traced functions of a tree of parameters.

mod average;
mod config;
mod optimizer;
mod rule;
mod schedule;

pub use average::AverageDecay;
pub use config::{OptimizerConfig, OptimizerKind, Schedule};
pub use optimizer::{Optimizer, OptimizerState, Update, global_norm};
