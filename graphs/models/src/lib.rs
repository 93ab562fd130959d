//! Published networks: those that predict velocities, and a small classifier that judges samples.

pub mod classifier;
pub mod denoisers;
