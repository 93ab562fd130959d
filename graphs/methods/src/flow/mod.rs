//! The path between noise and data, times on it, and the sampler that walks it.

mod beta;
mod config;
mod path;
mod sampler;
mod times;

pub use beta::{BetaTable, beta_quantile};
pub(crate) use config::require_time_distribution;
pub use config::{DynamicShift, SampleConfig, SampleStyle};
pub use path::{clean_estimate, interpolate, noise_estimate, per_sample};
pub use sampler::{Guided, Noise, Samples, draw_samples, sample};
pub use times::{SampleStep, sample_steps};
