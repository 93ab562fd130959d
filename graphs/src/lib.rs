//! All that is traced: layers, models, flow matching, TwinFlow, optimizers and training steps.

mod error;
pub mod flow;
mod init;
pub mod judge;
mod loss_terms;
pub mod models;
pub mod nn;
pub mod optim;
mod params;
mod random;
pub mod step;
pub mod twinflow;

pub use error::ConfigError;
pub use init::Init;
pub use loss_terms::LossTerms;
pub use params::Params;
