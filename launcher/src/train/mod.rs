//! `train`: sets a run up on all ranks, and moves it on step by step.

pub mod grace;
mod observers;
mod progress;
mod resume;
mod run;
mod setup;
mod skipped;
mod stop;

use std::process::ExitCode;

use miette::Result;
use stop::StopRequest;
use twinflow_runtime::{
    console::{OrReport, say},
    world::{World, mpi_library},
};

use crate::{cli::TrainArgs, hooks::Ending, logging};

/// Exit code of a run that was stopped before its end (BSD's EX_TEMPFAIL): a job script queues it again.
const STOPPED_CODE: i32 = 75;

/// Runs `train`; gives how it ended. What went wrong is said here, once for all ranks where it is common.
pub fn train(args: &TrainArgs) -> ExitCode {
    // Before anything that takes time: a signal that comes without a handler ends the process.
    let ended = StopRequest::listen().or_report().map_err(Some).and_then(|stop| train_in_world(&stop, args));
    match ended {
        Ok(Ending::Finished) => ExitCode::SUCCESS,
        // A compilation may still run in its thread: libraries must not be taken down under it.
        Ok(Ending::Stopped) => signal_hook::low_level::exit(STOPPED_CODE),
        Err(report) => {
            report.into_iter().for_each(|report| say(format!("{report:?}")));
            ExitCode::FAILURE
        }
    }
}

/// What is not told yet is the error.
fn train_in_world(stop: &StopRequest, args: &TrainArgs) -> Result<Ending, Option<miette::Report>> {
    let world = World::join().map_err(|error| Some(error.into()))?;
    logging::start(world.is_root(), true);
    train_in(&world, stop, args).map_err(|report| {
        world.report_failure(&report);
        None
    })
}

fn train_in(world: &World, stop: &StopRequest, args: &TrainArgs) -> Result<Ending> {
    let Some(setup) = setup::Setup::new(world, args)? else { return Ok(Ending::Finished) };
    tracing::info!(
        rank = world.rank(),
        ranks = world.size(),
        local_rank = world.local_rank(),
        mpi = mpi_library(),
        folder = %setup.folder.display(),
        "joined"
    );
    run::run(world, stop, setup)
}
