//! `twinflow-xla`: one-step generators by TwinFlow, on any XLA device, under MPI.

mod cli;
mod commands;
mod config;
mod hooks;
mod logging;
mod metrics;
mod pictures;
mod report;
mod run_folder;
mod stderr_filter;
mod train;

use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Command};
use twinflow_runtime::console::say;

fn main() -> ExitCode {
    // SAFETY: this is the first thing that main does; no other thread could read the environment.
    unsafe { set_environment() };
    keep_freed_memory();
    let command = Cli::parse().command;
    if !matches!(command, Command::Train(_)) {
        logging::start(true, false);
    }
    let done = match &command {
        Command::Train(args) => return train::train(args),
        Command::Sample(args) => commands::sample(args),
        Command::Eval(args) => commands::eval(args),
        Command::Data(command) => commands::data(command),
        Command::Checkpoint(command) => commands::checkpoint(command),
        Command::Graph(args) => commands::graph(args),
        Command::Doctor(args) => commands::doctor(args),
        Command::Report { run } => commands::report(run),
        Command::Completions { shell } => commands::completions(*shell),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(report) => {
            say(format!("{report:?}"));
            ExitCode::FAILURE
        }
    }
}

/// What linked and loaded libraries read from the environment.
///
/// # Safety
/// There must be no other thread.
unsafe fn set_environment() {
    const XLA_LOG_LEVEL: &str = "TF_CPP_MIN_LOG_LEVEL";
    // SAFETY: as the caller says.
    unsafe {
        // XLA's libraries log their start to standard error at level 0; the user's own setting wins.
        if std::env::var_os(XLA_LOG_LEVEL).is_none() {
            std::env::set_var(XLA_LOG_LEVEL, "1");
        }
        // libhdf5 lets this variable overrule the files' own property, by which none is locked (twinflow_hdf5).
        std::env::set_var("HDF5_USE_FILE_LOCKING", "FALSE");
    }
}

/// XLA allocates as much as it computes: its compiler in millions of small blocks from several threads, its CPU client a
/// step's temporaries anew each step. So malloc is mimalloc for the whole process, loaded plugins included; it asks for
/// huge pages where the system has them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keeps freed memory in the process: what is given back to the kernel after a step comes back by page faults in the
/// next. The user's own MIMALLOC_PURGE_DELAY wins.
fn keep_freed_memory() {
    /// `mi_option_purge_delay` of mimalloc.h, which the crate does not name; in milliseconds, -1 for never.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    // SAFETY: there is no other thread yet that could read the options.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, -1) };
}
