//! `twinflow-xla`: one-step generators by TwinFlow, on any XLA device, under MPI.

mod cli;
mod config;
mod metrics;
mod pictures;
mod run_folder;
mod world;

fn main() {}
