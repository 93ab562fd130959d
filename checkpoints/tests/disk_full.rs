//! A disk that is full before or while a checkpoint is written.
//!
//! Each attempt is a process of its own, whose shell first sets a file-size limit (writes then fail in the middle, as
//! on a full disk, at any place one likes) or mounts a tiny disk. It must end by itself, neither crash nor hang: libhdf5
//! tries to write once more when a process ends.

mod fixture;

use std::{
    env, fs,
    path::Path,
    process::{Command, Output},
};

use fixture::{metadata, save_in, state};
use tempfile::tempdir;
use twinflow_array::{HostArray, ParamPath, TensorType};
use twinflow_checkpoints::{CheckpointError, SaveRequest, resolve, save, verify};

const FOLDER: &str = "TWINFLOW_TEST_FOLDER";

fn large_state() -> Vec<(ParamPath, HostArray)> {
    let mut arrays = state(2);
    arrays.push(("large".into(), HostArray::zeros(TensorType::f32([1 << 18]))));
    arrays
}

#[test]
fn attempt() {
    // The other tests run this one again, in a process of limited means.
    let Some(folder) = env::var_os(FOLDER) else { return };
    let request = SaveRequest { folder: folder.into(), metadata: metadata(2), arrays: large_state() };
    for _ in 0..3 {
        match save(&request) {
            Err(error @ CheckpointError::DiskFull { .. }) => println!("DISK FULL {error}"),
            other => panic!("{other:?}"),
        }
    }
    let open = fs::read_dir("/proc/self/fd").unwrap().filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
    let held: Vec<_> = open.filter(|path| path.to_string_lossy().contains("step-")).collect();
    assert!(held.is_empty(), "open files keep their space: {held:?}");
}

/// Runs [`attempt`] in a shell after `limit`, with the folder as `$1`.
fn attempt_after(limit: &str, folder: &Path) -> Output {
    let script = format!("{limit} && exec timeout 30 \"$0\" --exact attempt --nocapture");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", &script]).arg(env::current_exe().unwrap()).arg(folder);
    command.env(FOLDER, folder).output().unwrap()
}

fn assert_disk_full(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && stdout.contains("DISK FULL"), "{output:?}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("HDF5"), "libhdf5 prints its own error stack:\n{stderr}");
    stdout
}

#[test]
fn writing_that_fails_in_the_middle_leaves_the_previous_checkpoint() {
    let folder = tempdir().unwrap();
    let previous = save_in(folder.path(), 1, &state(1));
    let whole = {
        let elsewhere = tempdir().unwrap();
        fs::metadata(save_in(elsewhere.path(), 2, &large_state())).unwrap().len()
    };
    // The places: HDF5's first bytes, its headers, its flush, our data, our trailer. `ulimit` counts 512 bytes.
    for blocks in [0, 1, 4, 8, 16, 24, 200, whole / 512 - 1, (whole - 1) / 512] {
        let limit = format!("trap '' XFSZ && ulimit -f {blocks}");
        let message = assert_disk_full(&attempt_after(&limit, folder.path()));
        assert!(message.contains("step-00000002.h5: no space left"), "{message}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the unfinished file is gone ({blocks} blocks)");
        assert!(verify(&previous).unwrap().damaged.is_empty());
        assert_eq!(resolve(folder.path()).unwrap(), previous);
    }
}

#[test]
fn too_little_space_is_said_in_numbers() {
    let folder = tempdir().unwrap();
    let output = attempt_after("mount -t tmpfs -o size=1m tmpfs \"$1\"", folder.path());
    let message = assert_disk_full(&output);
    assert!(message.contains(" bytes needed, 1048576 free); earlier checkpoints are untouched"), "{message}");
}
