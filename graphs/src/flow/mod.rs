//! Flow matching: the path between noise and data, times, the loss and the sampler.

mod beta;
mod config;
mod matching;
mod path;
mod sampler;
mod times;

pub use beta::{BetaTable, beta_quantile};
pub(crate) use config::require_time_distribution;
pub use config::{FlowConfig, SampleConfig, SampleStyle};
pub use matching::{FlowDraws, flow_matching_loss};
pub use path::{clean_estimate, interpolate, noise_estimate, per_sample};
pub use sampler::{Noise, Samples, sample};
pub use times::{Call, sample_calls};
