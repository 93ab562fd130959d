//! The time that mpirun leaves its ranks when it is told to end.

use std::time::Duration;

/// Open MPI's parameter: seconds between two signals to a rank, of which the last is SIGKILL.
const VARIABLE: &str = "OMPI_MCA_odls_base_sigkill_timeout";

/// What Open MPI's mpirun leaves a rank after Ctrl-C or SIGTERM: twice its parameter, which is 1 s where nobody sets it.
pub fn of_mpirun() -> Duration {
    let seconds = std::env::var(VARIABLE).ok().and_then(|value| value.trim().parse().ok());
    Duration::from_secs(2 * seconds.unwrap_or(1))
}

/// How to stop a job under Open MPI's mpirun without losing steps.
pub fn advice() -> String {
    format!(
        "mpirun kills its ranks {} s after Ctrl-C or SIGTERM; `kill -USR1` to mpirun saves and stops in the time that \
         it takes, or start it with `--mca odls_base_sigkill_timeout 60`",
        of_mpirun().as_secs()
    )
}

/// The advice for a job whose step took `step`, where that and a save may not fit into the time left.
pub fn warning(step: Duration) -> Option<String> {
    let by_open_mpi = std::env::var_os("OMPI_COMM_WORLD_SIZE").is_some();
    let seconds = step.as_secs_f64();
    (by_open_mpi && 2 * step > of_mpirun()).then(|| format!("note: a step takes {seconds:.1} s, and {}", advice()))
}
