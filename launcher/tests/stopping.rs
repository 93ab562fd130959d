//! Signals at any time: what is done is saved, and the exit code says that there is more to do.

mod common;

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use common::{Place, checkpoints, ran, signal};

/// Steps of flow matching, a long compilation, and no checkpoint before the end.
const COMPILES_LATE: &str = "--set flow.steps=3 --set train.checkpoint_every=0 --set device.cache_dir= \
                             --set device.optimization_level=-1 --set model.depth=6";

/// Waits until a process handles a signal by its own.
fn await_handler(process: u32, signal: u32) {
    let began = Instant::now();
    let handled = || {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
        u64::from_str_radix(mask.trim(), 16).unwrap() >> (signal - 1) & 1 == 1
    };
    while !handled() {
        assert!(began.elapsed() < Duration::from_secs(60), "no handler");
    }
}

/// Sends a signal when a job has said that it compiles the second phase; gives what it says then, and its exit code.
fn stop_while_compiling(mut child: Child, name: &str) -> (String, Option<i32>) {
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut output = String::new();
    while !output.contains("compiling the twinflow step") {
        assert!(lines.read_line(&mut output).unwrap() > 0, "{output}");
    }
    signal(&child, name);
    lines.read_to_string(&mut output).unwrap();
    (output, child.wait().unwrap().code())
}

#[test]
fn a_signal_before_the_first_step_is_no_sudden_death() {
    let place = Place::new();
    let mut command = place.command("train --config tiny.toml --set run.dir=r");
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    await_handler(child.id(), 10);
    signal(&child, "USR1");
    ran(child.wait_with_output().unwrap()).stopped(&["no step was made", "train --resume r"]);
    place.run("train --resume r").ok();
    assert_eq!(place.metrics("r").len(), 8);
}

#[test]
fn a_signal_while_the_second_phase_compiles_saves_at_once() {
    let place = Place::new();
    let mut command = place.command(&format!("train --config tiny.toml --set run.dir=r {COMPILES_LATE}"));
    let (output, code) = stop_while_compiling(command.stderr(Stdio::piped()).spawn().unwrap(), "TERM");
    assert!(code == Some(75) && output.contains("saved after step 3"), "{code:?} {output}");
    assert!(checkpoints(&place.path("r"))[0].ends_with("step-00000003.h5"));
    place.run("train --resume r --set device.optimization_level=-1").ok();
    place.train("whole", COMPILES_LATE).ok();
    let losses = |run: &str| place.metrics(run).iter().map(|line| line["loss"].to_string()).collect::<Vec<_>>();
    assert_eq!(losses("r"), losses("whole"), "bit for bit");
}

#[test]
fn mpi_a_signal_to_mpirun_stops_all_ranks() {
    let place = Place::new();
    let job = place.start_mpirun(2, &format!("train --config tiny.toml --set run.dir=r {COMPILES_LATE}"));
    let (output, code) = stop_while_compiling(job, "USR1");
    assert_eq!((code, output.matches("saved after step 3").count()), (Some(75), 1), "{output}");
}

#[test]
fn mpi_a_job_with_long_steps_says_how_to_stop_it() {
    let place = Place::new();
    let mut command = place.mpirun_command(2, "train --config tiny.toml --set run.dir=r --set train.steps=1");
    // Any step is long where mpirun waits for nobody.
    let ran = ran(command.env("OMPI_MCA_odls_base_sigkill_timeout", "0").output().unwrap()).ok();
    ran.says(&["mpirun kills its ranks 0 s after Ctrl-C", "kill -USR1", "odls_base_sigkill_timeout"]);
}
