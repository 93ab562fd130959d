//! A small convolutional classifier that judges samples: what class they show, and where they lie in its feature space.

mod network;
mod train;

pub use network::{Judge, JudgeConfig, Verdict};
pub use train::{JudgeBatch, JudgeState};
