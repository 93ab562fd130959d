//! Layers, networks, optimizers, samplers and steps, by the reference interpreter.

mod classifier;
mod config;
mod layers;
mod models;
mod optimizers;
mod sampler;
mod steps;
mod support;
mod whole_batch;
