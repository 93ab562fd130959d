//! The subcommands that do not train or sample.

mod checkpoint;
mod data;
mod doctor;

pub use checkpoint::checkpoint;
pub use data::data;
pub use doctor::doctor;
