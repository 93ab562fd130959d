//! The processes of a run: how many there are, which one this is, and what they tell each other.
//!
//! Everything above this module calls the same functions with and without MPI; a world of one process needs neither an
//! MPI library nor `mpirun`.

mod agreement;
#[cfg(any(feature = "mpi", test))]
mod buckets;
mod job_launcher;
#[cfg(feature = "mpi")]
mod mpi_world;
#[cfg(not(feature = "mpi"))]
#[path = "no_mpi.rs"]
mod mpi_world;

use std::cell::Cell;

use miette::Diagnostic;

use crate::console::say;

pub use job_launcher::JobLauncher;

/// Exit code of a job that one rank ended (BSD's EX_SOFTWARE), to be told from a common error's 1.
pub const ABORT_CODE: i32 = 70;

/// The processes of this run, or this process alone.
pub struct World {
    rank: usize,
    size: usize,
    local_rank: usize,
    /// `None`: alone, without MPI.
    job: Option<mpi_world::Job>,
    /// Whether all ranks already know that they fail.
    failed_together: Cell<bool>,
}

/// Why there is no world to train in.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum WorldError {
    /// The job launcher started more processes than the MPI library sees.
    #[error("{launcher} started {started} processes, but {} sees a world of {seen}: they would all train alone", library.as_deref().unwrap_or("this program (built without MPI)"))]
    #[diagnostic(help(
        "start it with the mpirun of the MPI library that it was built with (`twinflow-xla doctor` names it), build it \
         anew under the module that gives this {launcher}, or tell srun the right plugin (srun --mpi=list); in a batch \
         script, `srun twinflow-xla ..` or `mpirun twinflow-xla ..` starts as many as the script asked for"
    ))]
    LauncherMismatch {
        /// What started this process.
        launcher: &'static str,
        /// Processes it says it started.
        started: usize,
        /// World size that the library reports.
        seen: usize,
        /// The MPI library's version, if one is linked.
        library: Option<String>,
    },
    /// A plain start in an allocation for more, which would idle.
    #[error("this is one process in a Slurm allocation of {tasks} tasks, and no job launcher started it")]
    #[diagnostic(help(
        "`srun twinflow-xla ..` or `mpirun twinflow-xla ..` starts all {tasks}; for one process alone put `srun -n 1` or \
         `mpirun -n 1` before it"
    ))]
    Unlaunched {
        /// What was asked of Slurm.
        tasks: usize,
    },
    /// MPI was initialised before by something else in this process.
    #[cfg(feature = "mpi")]
    #[error("MPI is already initialised in this process")]
    AlreadyInitialised,
}

impl World {
    /// This process alone, without MPI.
    pub fn alone() -> Self {
        World { rank: 0, size: 1, local_rank: 0, job: None, failed_together: Cell::new(false) }
    }

    /// Joins the processes that `mpirun` or `srun` started; without such a launcher, this process is alone.
    ///
    /// # Errors
    /// [`WorldError::LauncherMismatch`] if the launcher and the MPI library do not agree on how many there are;
    /// [`WorldError::Unlaunched`].
    pub fn join() -> Result<Self, WorldError> {
        let variable = |name: &str| std::env::var(name).ok();
        let Some(launcher) = JobLauncher::from_env(variable) else {
            let tasks = JobLauncher::unused_tasks(variable);
            return tasks.map_or(Ok(Self::alone()), |tasks| Err(WorldError::Unlaunched { tasks }));
        };
        let job = mpi_world::Job::start()?;
        let seen = job.as_ref().map_or(1, mpi_world::Job::size);
        if let Some(started) = launcher.processes.filter(|started| *started != seen) {
            let library = job.is_some().then(|| mpi_library().unwrap_or_default());
            return Err(WorldError::LauncherMismatch { launcher: launcher.name, started, seen, library });
        }
        let Some(job) = job else { return Ok(Self::alone()) };
        let (rank, local_rank) = (job.rank(), job.local_rank());
        let world = World { rank, size: seen, local_rank, job: Some(job), failed_together: Cell::new(false) };
        if world.size > 1 {
            world.end_job_on_panic();
        }
        Ok(world)
    }

    /// This process's number, from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Number of processes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// This process's number among those on the same machine, from 0.
    pub fn local_rank(&self) -> usize {
        self.local_rank
    }

    /// Whether this is the process that writes files and talks to the user.
    pub fn is_root(&self) -> bool {
        self.rank == 0
    }

    /// Replaces the elements of all pieces by their means over the ranks; the same bits on every rank.
    pub fn all_reduce_mean(&self, pieces: &mut [&mut [f32]]) {
        if let Some(job) = self.others() {
            job.all_reduce_sum(pieces);
            let scale = 1.0 / self.size as f32;
            pieces.iter_mut().flat_map(|piece| piece.iter_mut()).for_each(|value| *value *= scale);
        }
    }

    /// The greatest of the ranks' values.
    pub fn all_reduce_max(&self, value: u32) -> u32 {
        self.others().map_or(value, |job| job.all_reduce_max(value))
    }

    /// Rank 0's bytes on every rank.
    pub fn broadcast(&self, bytes: Vec<u8>) -> Vec<u8> {
        match self.others() {
            Some(job) => job.broadcast(bytes),
            None => bytes,
        }
    }

    /// Ends every process of the job at once.
    pub fn abort(&self) -> ! {
        match &self.job {
            Some(job) => job.abort(ABORT_CODE),
            None => std::process::exit(ABORT_CODE),
        }
    }

    /// A panic on one rank would leave the others waiting in their next collective for ever.
    fn end_job_on_panic(&self) {
        let Some(job) = &self.job else { return };
        let (rank, handle, default) = (self.rank, job.abort_handle(), std::panic::take_hook());
        std::panic::set_hook(Box::new(move |info| {
            default(info);
            say(format!("rank {rank} panicked (a bug in twinflow-xla); ending the job on all ranks"));
            handle.abort(ABORT_CODE);
        }));
    }

    fn others(&self) -> Option<&mpi_world::Job> {
        self.job.as_ref().filter(|_| self.size > 1)
    }
}

/// The MPI library's name and version; `None` in a build without MPI.
pub fn mpi_library() -> Option<String> {
    mpi_world::library()
}

#[cfg(all(test, feature = "mpi"))]
mod tests {
    use std::{
        env,
        process::Command,
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    #[ignore = "run by the next test, under mpirun"]
    fn panic_on_rank_1() {
        if env::var_os("OMPI_COMM_WORLD_SIZE").is_none() {
            return;
        }
        let world = World::join().unwrap();
        assert_ne!(world.rank(), 1, "as a bug would");
        world.all_reduce_max(0);
        unreachable!("rank 1 never comes");
    }

    #[test]
    fn mpi_a_panic_on_one_rank_ends_the_whole_job() {
        let began = Instant::now();
        let mut command = Command::new("mpirun");
        command.args(["-n", "2"]).arg(env::current_exe().unwrap());
        command.args(["--exact", "world::tests::panic_on_rank_1", "--ignored", "--nocapture"]);
        for name in ["ALLOW_RUN_AS_ROOT", "ALLOW_RUN_AS_ROOT_CONFIRM", "MCA_rmaps_base_oversubscribe"] {
            command.env(format!("OMPI_{name}"), "1");
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(ABORT_CODE), "{said}");
        assert!(said.contains("as a bug would") && said.contains("rank 1 panicked"), "{said}");
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}
