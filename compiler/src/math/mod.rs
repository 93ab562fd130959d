//! Mathematics on tensors: methods and operators, each a few lines over the operations.

mod elementwise;
mod operators;
mod products;
mod reductions;
mod shapes;

pub use elementwise::Operand;
