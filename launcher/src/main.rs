//! `twinflow-xla`: one-step generators by TwinFlow, on any XLA device, under MPI.

mod cli;
mod commands;
mod config;
mod data_source;
mod devices;
mod logging;
mod metrics;
mod pictures;
mod run_folder;
mod sample_file;
mod train;
mod world;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let command = Cli::parse().command;
    if !matches!(command, Command::Train(_)) {
        logging::start(None, 0, true);
    }
    let done = match &command {
        Command::Data(command) => commands::data(command),
        Command::Checkpoint(command) => commands::checkpoint(command),
        Command::Doctor(args) => commands::doctor(args).map(|_| ()),
        _ => Ok(()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(report) => {
            eprintln!("{report:?}");
            ExitCode::FAILURE
        }
    }
}
