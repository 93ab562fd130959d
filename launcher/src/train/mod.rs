//! `train`: sets a run up on all ranks, and moves it on step by step.

mod hooks;
mod progress;
mod run;
mod setup;
mod stop;

use miette::Result;

use crate::{cli::TrainArgs};
use twinflow_runtime::{console::say, world::{World, mpi_library}};

/// Runs `train`; gives whether it succeeded. What went wrong is said here, once for all ranks where it is common.
pub fn train(args: &TrainArgs) -> bool {
    let world = match World::join() {
        Ok(world) => world,
        Err(error) => {
            say(format!("{:?}", miette::Report::new(error)));
            return false;
        }
    };
    let trained = train_in(&world, args);
    if let Err(report) = &trained {
        world.report_failure(report);
    }
    trained.is_ok()
}

fn train_in(world: &World, args: &TrainArgs) -> Result<()> {
    let setup = setup::Setup::new(world, args)?;
    tracing::info!(
        rank = world.rank(),
        ranks = world.size(),
        local_rank = world.local_rank(),
        mpi = mpi_library(),
        folder = %setup.folder.display(),
        "joined"
    );
    run::run(world, setup)
}
