//! Mathematics on tensors: methods and operators, each a few lines over the operations.

mod collectives;
mod convolutions;
mod creation;
mod elementwise;
mod operators;
mod ordering;
mod products;
mod reductions;
mod shapes;

pub use elementwise::Operand;
