//! What started this process, from the environment variables that starters set.

/// A starter of parallel jobs, as its environment variables tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Starter {
    /// `mpirun (Open MPI)`, `srun (Slurm)`, ...
    pub name: &'static str,
    /// How many processes it says it started; not all say so.
    pub processes: Option<usize>,
}

/// Variables that tell of a starter, innermost first (mpirun inside a Slurm step sets both kinds), whether their value
/// is the number of processes, and the starter's name.
const SIGNS: [(&str, bool, &str); 9] = [
    ("OMPI_COMM_WORLD_SIZE", true, "mpirun (Open MPI)"),
    ("MV2_COMM_WORLD_SIZE", true, "mpirun (MVAPICH)"),
    ("PMI_SIZE", true, "mpiexec (MPICH or Intel MPI)"),
    ("PALS_RANKID", false, "mpiexec (Cray PALS)"),
    ("FLUX_JOB_SIZE", true, "flux run"),
    ("SLURM_STEP_NUM_TASKS", true, "srun (Slurm)"),
    ("PMI_RANK", false, "a PMI starter"),
    ("PMIX_RANK", false, "a PMIx starter"),
    ("SLURM_NTASKS", true, "Slurm"),
];

impl Starter {
    /// The starter that the variables tell of; `None` for a plain process.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        SIGNS.iter().find_map(|(sign, is_count, name)| {
            let value = variable(sign)?;
            Some(Starter { name, processes: if *is_count { value.trim().parse().ok() } else { None } })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starter(variables: &[(&str, &str)]) -> Option<Starter> {
        Starter::from_env(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn starters_are_told_from_plain_processes() {
        assert_eq!(starter(&[]), None);
        let mpirun = starter(&[("OMPI_COMM_WORLD_SIZE", "2"), ("SLURM_NTASKS", "8")]);
        assert_eq!(mpirun, Some(Starter { name: "mpirun (Open MPI)", processes: Some(2) }));
        let srun = starter(&[("SLURM_STEP_NUM_TASKS", "4"), ("SLURM_NTASKS", "8"), ("PMIX_RANK", "3")]);
        assert_eq!(srun, Some(Starter { name: "srun (Slurm)", processes: Some(4) }));
        assert_eq!(starter(&[("PMIX_RANK", "0")]).unwrap().processes, None);
    }
}
