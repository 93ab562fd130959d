//! All that is traced: layers, models, flow matching, TwinFlow, optimizers and training steps.

mod error;
pub mod flow;
mod init;
pub mod models;
pub mod nn;
pub mod optim;
mod params;
pub mod step;
pub mod twinflow;

pub use error::ConfigError;
pub use init::Init;
pub use params::Params;
