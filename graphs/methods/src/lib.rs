//! What is trained, and how samples are made: the trait of all methods, and a file or folder for each.

mod average;
pub mod flow;
pub mod flow_matching;
mod method;
mod phases;
mod random;
mod rows;
pub mod twinflow;

pub use average::moving_average;
pub use method::{BatchShape, Loss, LossInputs, Method, Part, Start};
pub use phases::{MethodsConfig, Phase, phases};
pub use random::Draw;
