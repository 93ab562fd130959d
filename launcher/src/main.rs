//! `twinflow-xla`: one-step generators by TwinFlow, on any XLA device, under MPI.

mod cli;
mod commands;
mod config;
mod data_source;
mod devices;
mod environment;
mod eval;
mod logging;
mod metrics;
mod pictures;
mod programs;
mod report;
mod run_folder;
mod said;
mod sample;
mod sample_file;
mod sampler;
mod target;
mod tensorboard;
mod train;
mod whole_file;
mod world;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    quiet_xla();
    keep_freed_memory();
    let command = Cli::parse().command;
    if !matches!(command, Command::Train(_)) {
        logging::start(None, 0, true);
    }
    let done = match &command {
        Command::Train(args) => return if train::train(args) { ExitCode::SUCCESS } else { ExitCode::FAILURE },
        Command::Sample(args) => sample::sample(args),
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
            said::tell(format!("{report:?}"));
            ExitCode::FAILURE
        }
    }
}

/// XLA's libraries log their start to standard error at level 0; the user's own setting wins.
fn quiet_xla() {
    const LEVEL: &str = "TF_CPP_MIN_LOG_LEVEL";
    if std::env::var_os(LEVEL).is_none() {
        // SAFETY: this is the first thing that main does; there is no other thread that could read the environment.
        unsafe { std::env::set_var(LEVEL, "1") };
    }
}

/// Keeps freed memory in the process, in one arena of huge pages: XLA's CPU client allocates a step's temporaries anew
/// each step, glibc gives blocks of that size back to the kernel at once (other arenas always do), and the page faults
/// of the next step cost a tenth of its time. The one arena has a price: threads that compile wait for its lock.
fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt only sets the allocator's own parameters, and there is no other thread yet; madvise gets whole
    // pages of a block that is ours until it is freed, which leaves it as the rest of the arena.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
        libc::mallopt(libc::M_ARENA_MAX, 1);
        // Address space only: pages come when they are written to. Where the system refuses, small pages do.
        let block = libc::memalign(HUGE_PAGE, ARENA);
        if !block.is_null() {
            libc::madvise(block, ARENA, libc::MADV_HUGEPAGE);
            libc::free(block);
        }
    }
}

/// Bytes of a huge page on x86-64, and on ARM with pages of 4 KiB.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const HUGE_PAGE: usize = 2 << 20;

/// Bytes of the arena that are asked to be huge pages.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ARENA: usize = 8 << 30;
