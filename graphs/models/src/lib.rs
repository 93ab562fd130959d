//! Published networks: those that predict velocities, those that read prompts for them, and a small classifier that
//! judges samples.

pub mod classifier;
pub mod denoisers;
pub mod encoders;
