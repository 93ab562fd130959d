//! A disk that fills up under a run: what was saved stays whole, and the run goes on when there is space.

mod common;

use std::{env, fs, io::Write, path::Path, process::Command};

use common::{Place, contents};

const ON_A_SMALL_DISK: &str = "TWINFLOW_TEST_ON_A_SMALL_DISK";

/// A file that leaves only some space; whole memory pages, the unit of a tmpfs.
fn fill_disk(ballast: &Path, left: u64) {
    let mut file = fs::File::create(ballast).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    file.set_len(file.metadata().unwrap().len() / 4096 * 4096 - left).unwrap();
}

#[test]
#[ignore = "run by the next test, on a disk of its own"]
fn train_until_the_disk_is_full() {
    if env::var_os(ON_A_SMALL_DISK).is_none() {
        return;
    }
    let place = Place::new();
    let (run, ballast) = (place.path("r"), place.path("ballast"));
    place.train("r", "--set train.steps=4 --set model.width=64").ok();
    let (before, checkpoints) = (contents(&run), contents(&place.path("r/checkpoints")));
    let resume = "train --resume r --set train.steps=8";

    fill_disk(&ballast, 0);
    place.run(resume).refused(&["cannot", "No space left on device", "r/", "free some space", "--resume"]);
    assert!(contents(&run) == before, "a command without any space harmed the run");

    fill_disk(&ballast, 64 << 10);
    let refused = place.run(resume);
    refused.refused(&["cannot write r/checkpoints/step-00000008.h5: no space left", "bytes needed", "free some space"]);
    assert!(contents(&place.path("r/checkpoints")) == checkpoints, "the checkpoint before is not as it was");
    place.run("checkpoint verify r").ok();

    fs::remove_file(&ballast).unwrap();
    place.run(resume).ok();
    assert_eq!(place.metrics("r").len(), 8);
}

#[test]
fn a_full_disk_ends_a_run_that_goes_on_when_there_is_space() {
    let disk = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=8m tmpfs \"$1\" && exec \"$0\" --exact train_until_the_disk_is_full --ignored";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", script]).arg(env::current_exe().unwrap()).arg(disk.path());
    let output = command.env(ON_A_SMALL_DISK, "1").env("TMPDIR", disk.path()).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{stdout}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_log_that_cannot_be_written_ends_no_run() {
    let place = Place::new();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = place.command("train --config tiny.toml --set run.dir=r --set train.steps=2");
    assert!(command.stderr(full).status().unwrap().success());
    assert_eq!(place.metrics("r").len(), 2);
}
