//! Values computed with the method's public PyTorch implementation, for a network of two layers: whole TwinFlow steps
//! with their gradients, and trajectories of the sampler.
//!
//! Other files of the same layout are read if TWINFLOW_GOLDEN_STEP or TWINFLOW_GOLDEN_SAMPLER names one; every case that
//! a file holds is compared, whatever its sizes and options.

mod file;
mod network;
mod run;
mod sampler;
mod step;
mod tolerance;
