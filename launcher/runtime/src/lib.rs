//! What a run computes with: the processes of its job, their devices, the compiled programs and the state they move on.

#![allow(missing_docs, reason = "a part of the program: the names say most")]

mod config;
pub mod console;
pub mod devices;
pub mod engine;
pub mod model;
pub mod programs;
pub mod sampler;
pub mod target;
pub mod trial;
pub mod upload;
pub mod world;

pub use config::{DeviceConfig, PlatformChoice};
