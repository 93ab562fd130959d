//! `completions`: what a shell needs to complete this program's arguments.

use clap::CommandFactory;
use clap_complete::Shell;
use miette::Result;

use super::print_line;
use crate::cli::Cli;

/// Runs `completions`.
///
/// # Errors
/// Standard output cannot be written.
pub fn completions(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "twinflow-xla", &mut script);
    print_line(String::from_utf8_lossy(&script).trim_end())
}
