//! The subcommands that do not train.

mod checkpoint;
mod completions;
mod data;
mod doctor;
mod eval;
mod graph;
mod info;
mod report;
mod sample;
mod tokenizer;

pub use checkpoint::{checkpoint, config_of, model_of, open as open_checkpoint};
pub use completions::completions;
pub use data::data;
pub use doctor::doctor;
pub use eval::eval;
pub use graph::graph;
pub use report::report;
pub use sample::sample;

use std::{
    fmt::Display,
    io::{ErrorKind, Write, stdout},
};

use miette::Result;
use twinflow_runtime::console::OrReport;

/// Prints a text and a line break; a reader that has gone (`| head`) is no error.
///
/// # Errors
/// Standard output cannot be written, as on a full disk.
pub fn print_line(text: impl Display) -> Result<()> {
    match writeln!(stdout(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.or_report(),
    }
}
