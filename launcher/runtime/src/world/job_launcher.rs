//! The job launcher of this process, from the environment variables that launchers set.

/// A launcher of parallel jobs, as its environment variables tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobLauncher {
    /// `mpirun (Open MPI)`, `srun (Slurm)`, ...
    pub name: &'static str,
    /// How many processes it says it started; not all say so.
    pub processes: Option<usize>,
}

/// Variables that tell of a launcher, innermost first (mpirun inside a Slurm step sets both kinds), whether their value
/// is the number of processes, and the launcher's name.
const SIGNS: [(&str, bool, &str); 8] = [
    ("OMPI_COMM_WORLD_SIZE", true, "mpirun (Open MPI)"),
    ("MV2_COMM_WORLD_SIZE", true, "mpirun (MVAPICH)"),
    ("PMI_SIZE", true, "mpiexec (MPICH or Intel MPI)"),
    ("PALS_RANKID", false, "mpiexec (Cray PALS)"),
    ("FLUX_JOB_SIZE", true, "flux run"),
    ("SLURM_STEP_NUM_TASKS", true, "srun (Slurm)"),
    ("PMI_RANK", false, "a PMI launcher"),
    ("PMIX_RANK", false, "a PMIx launcher"),
];

impl JobLauncher {
    /// The launcher that the variables tell of; `None` for a plain process.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        SIGNS.iter().find_map(|(sign, is_count, name)| {
            let value = variable(sign)?;
            Some(JobLauncher { name, processes: if *is_count { value.trim().parse().ok() } else { None } })
        })
    }

    /// Tasks of the Slurm allocation in which a plain process runs; none where there is no more than one.
    pub fn unused_tasks(variable: impl Fn(&str) -> Option<String>) -> Option<usize> {
        variable("SLURM_NTASKS")?.trim().parse().ok().filter(|tasks| *tasks > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(set: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        move |name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    fn launcher(set: &[(&str, &str)]) -> Option<JobLauncher> {
        JobLauncher::from_env(variables(set))
    }

    #[test]
    fn launched_processes_are_told_from_plain_ones() {
        assert_eq!(launcher(&[]), None);
        let mpirun = launcher(&[("OMPI_COMM_WORLD_SIZE", "2"), ("SLURM_NTASKS", "8")]);
        assert_eq!(mpirun, Some(JobLauncher { name: "mpirun (Open MPI)", processes: Some(2) }));
        let srun = launcher(&[("SLURM_STEP_NUM_TASKS", "4"), ("SLURM_NTASKS", "8"), ("PMIX_RANK", "3")]);
        assert_eq!(srun, Some(JobLauncher { name: "srun (Slurm)", processes: Some(4) }));
        assert_eq!(launcher(&[("PMIX_RANK", "0")]).unwrap().processes, None);
    }

    #[test]
    fn a_plain_process_in_an_allocation_was_started_by_nobody() {
        let salloc = [("SLURM_JOB_ID", "5"), ("SLURM_NTASKS", "8")];
        assert_eq!((launcher(&salloc), JobLauncher::unused_tasks(variables(&salloc))), (None, Some(8)));
        assert_eq!(JobLauncher::unused_tasks(variables(&[("SLURM_NTASKS", "1")])), None);
    }
}
