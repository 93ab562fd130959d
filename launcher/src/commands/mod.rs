//! The subcommands that do not train or sample.

mod checkpoint;
mod data;
mod doctor;
mod graph;

pub use checkpoint::{checkpoint, open as open_checkpoint};
pub use data::data;
pub use doctor::doctor;
pub use graph::graph;
