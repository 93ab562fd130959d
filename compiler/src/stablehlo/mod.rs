//! Lowering: programs to StableHLO text, the stable input of every XLA plugin.

mod block;
mod module;
mod products;

pub use block::{Block, Value, signature};
pub use module::{lower, lower_body};
pub use products::Products;
