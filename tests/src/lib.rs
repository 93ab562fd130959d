//! What the integration tests share: running programs on XLA, and how closely numbers must agree.

pub mod gradients;
pub mod tolerance;
pub mod trainers;
pub mod values;
pub mod xla;

pub use tolerance::Tolerance;
