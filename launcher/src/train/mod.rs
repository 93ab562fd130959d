//! The training loop.

mod progress;
mod stop;
