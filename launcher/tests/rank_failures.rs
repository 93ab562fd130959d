//! One rank fails, panics or dies: the job ends on all ranks, within seconds.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use common::{Place, contents, ran};

/// From a failure to the end of the job; most of it is Open MPI's own waiting.
const SECONDS: Duration = Duration::from_secs(20);
/// A run that does not end by itself.
const ENDLESS: &str =
    "train --config tiny.toml --set run.dir=r --set train.steps=1000000 --set train.checkpoint_every=1";

/// The process of a job on this machine, by rank: the one in `place` that Open MPI gave that rank.
fn process_of_rank(place: &Place, rank: usize) -> PathBuf {
    let variable = format!("OMPI_COMM_WORLD_RANK={rank}");
    let belongs = |process: &Path| {
        let environment = fs::read(process.join("environ")).unwrap_or_default();
        fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == place.path("").canonicalize().unwrap())
            && environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
    };
    let mut processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    processes.find(|process| belongs(process)).expect("the rank runs")
}

/// Whether a process is more than an entry that nobody has collected yet.
fn is_alive(process: &Path) -> bool {
    fs::read_to_string(process.join("status")).is_ok_and(|status| !status.contains("State:\tZ"))
}

#[test]
fn mpi_ranks_fail_together_with_one_message() {
    let place = Place::new();
    let began = Instant::now();
    let ran = place.mpirun(2, "train --config tiny.toml --set run.dir=r --set train.batch_size=12");
    let ran = ran.refused(&["train.batch_size = 12", "cannot be dealt out equally to 2"]);
    assert_eq!(ran.message().matches("cannot be dealt out").count(), 1, "said once:\n{}", ran.err);
    assert!(began.elapsed() < SECONDS);
    assert!(!place.path("r").exists());
}

#[test]
fn mpi_a_failure_on_one_rank_ends_the_whole_job() {
    let place = Place::new();
    let job = place.start_mpirun(2, ENDLESS);
    place.await_steps("r");
    // Rank 0 alone saves, so it alone fails.
    fs::rename(place.path("r/checkpoints"), place.path("gone")).unwrap();
    let broken = Instant::now();
    let ran = ran(job.wait_with_output().unwrap());
    assert!(broken.elapsed() < SECONDS);
    assert_eq!(ran.code, Some(70));
    ran.says(&["rank 0:", "r/checkpoints", "ending the job on all 2 ranks"]);
}

#[test]
fn mpi_a_killed_rank_ends_the_whole_job() {
    let place = Place::new();
    let job = place.start_mpirun(2, ENDLESS);
    place.await_steps("r");
    let processes = [0, 1].map(|rank| process_of_rank(&place, rank));
    let killed = Instant::now();
    let id = processes[1].file_name().unwrap();
    Command::new("kill").arg("-9").arg(id).status().unwrap();
    let ended = ran(job.wait_with_output().unwrap());
    assert!(killed.elapsed() < SECONDS);
    assert_ne!(ended.code, Some(0));
    ended.says(&["signal 9"]);
    while processes.iter().any(|process| is_alive(process)) {
        assert!(killed.elapsed() < SECONDS, "a rank lives on");
        std::thread::sleep(Duration::from_millis(20));
    }
    place.run("checkpoint verify r").ok();
    let steps = place.metrics("r").len() + 1;
    place.run(&format!("train --resume r --set train.steps={steps}")).ok();
}

#[test]
fn mpi_data_that_are_missing_are_said_once() {
    let place = Place::new();
    let ran = place.mpirun(2, "train --config tiny.toml --set run.dir=r --set data.kind=hdf5 --set data.path=d.h5");
    let ran = ran.refused(&["no dataset at 'd.h5'"]);
    assert_eq!(ran.message().matches("no dataset").count(), 1, "said once:\n{}", ran.err);
    assert!(contents(&place.path("")).keys().all(|file| file.ends_with("tiny.toml")), "a refused run wrote a file");
}
