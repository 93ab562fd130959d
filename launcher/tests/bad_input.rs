//! Bad input gets a clear message, and no run folder is made or harmed.

mod common;

use std::process::Command;

use common::{Place, contents, ran};

/// Nothing may be written by a command that is refused.
fn assert_no_run(place: &Place) {
    assert!(!place.path("r").exists() && !place.path("runs").exists(), "a refused command made a run folder");
}

#[test]
fn settings_that_are_wrong() {
    let place = Place::new();
    place.train("r", "--set train.step=3").refused(&["unknown key 'train.step'", "did you mean 'steps'?"]);
    place.train("r", "--set train.steps=many").refused(&["train.steps is \"many\"", "a whole number"]);
    place.train("r", "--set optimizer.kind=adan").refused(&["optimizer.kind is \"adan\"", "did you mean \"adamw\"?"]);
    place.train("r", "--set train.batch_size=3").refused(&["train.batch_size = 3 is too small", "4 parts"]);
    place.run("train --config no.toml").refused(&["cannot read the config file no.toml"]);
    assert_eq!(place.run("train --steps 3").code, Some(2), "usage errors have a code of their own");
    assert_no_run(&place);
}

#[test]
fn data_that_is_missing_or_no_dataset() {
    let place = Place::new();
    let hdf5 = "--set data.kind=hdf5 --set data.path=d.h5";
    place.train("r", hdf5).refused(&["no dataset at 'd.h5'", "data import"]);
    std::fs::write(place.path("d.h5"), "not HDF5").unwrap();
    place.train("r", hdf5).refused(&["d.h5"]);
    place.run("data import --images a --labels b --out d.h5").refused(&["a"]);
    std::fs::create_dir(place.path("photos")).unwrap();
    std::fs::write(place.path("photos/1.png"), "").unwrap();
    let import = "data import --pictures photos --out p.h5";
    place.run(import).refused(&["1 pictures have no caption, such as '1.png'"]);
    std::fs::write(place.path("photos/1.txt"), "nothing").unwrap();
    place.run(import).refused(&["picture '1.png': it is empty (0 bytes)"]);
    place.run(&format!("{import} --skip-damaged")).refused(&["no usable pictures in 'photos'"]);
    assert!(!place.path("p.h5").exists() && !place.path("p.h5.importing").exists());
    place.run("data info nothing.h5").refused(&["nothing.h5"]);
    assert_no_run(&place);
}

#[test]
fn plugins_that_are_missing_or_foreign() {
    let place = Place::new();
    place.train("r", "--set device.plugin=/no/plugin.so").refused(&["/no/plugin.so", "does not exist"]);
    std::fs::write(place.path("plugin.so"), "not a library").unwrap();
    place.train("r", "--set device.plugin=plugin.so").refused(&["plugin.so is not a PJRT plugin"]);
    place.train("r", &format!("--set device.plugin={}", old_plugin(&place))).refused(&[
        "plugin.so",
        "C API 0.54",
        "0.81",
    ]);
    assert_no_run(&place);
}

/// A library that says of itself to be a plugin of the year before: a table of size, extensions and version alone.
fn old_plugin(place: &Place) -> String {
    let (source, library) = (place.path("plugin.c"), place.path("plugin.so"));
    let code = "#include <stddef.h>
        struct version { size_t size; void *extensions; int major, minor; };
        static struct { size_t size; void *extensions; struct version version; } table =
            { sizeof table, 0, { sizeof(struct version), 0, 0, 54 } };
        void *GetPjrtApi(void) { return &table; }";
    std::fs::write(&source, code).unwrap();
    let status = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    assert!(status.expect("this test needs a C compiler, cc").success());
    library.display().to_string()
}

/// Asserts that a start among these variables of a job launcher is refused.
fn assert_refused_under(variables: [(&str, &str); 2], parts: &[&str]) {
    let place = Place::new();
    let mut command = place.command("train --config tiny.toml --set run.dir=r");
    ran(command.envs(variables).output().unwrap()).refused(parts);
    assert_no_run(&place);
}

#[test]
fn a_job_launcher_that_sees_another_world() {
    assert_refused_under([("PMI_SIZE", "2"), ("PMI_RANK", "0")], &["started 2 processes", "sees a world of 1"]);
}

#[test]
fn a_plain_start_in_an_allocation_for_more() {
    let parts = ["one process in a Slurm allocation of 8 tasks", "srun -n 1"];
    assert_refused_under([("SLURM_JOB_ID", "5"), ("SLURM_NTASKS", "8")], &parts);
}

#[test]
fn run_folders_that_cannot_be_made() {
    let place = Place::new();
    std::fs::write(place.path("taken"), "mine").unwrap();
    let before = contents(&place.path(""));
    place.train("taken", "").refused(&["cannot make the folder taken", "a file is in the way", "run.dir"]);
    place.train("taken/r", "").refused(&["cannot make the folder taken/r", "a file is in the way", "run.dir"]);
    place.train("/proc/r", "").refused(&["cannot make the folder /proc/r", "run.dir"]);
    assert!(contents(&place.path("")) == before, "a refused command wrote a file");
}

#[test]
fn folders_that_are_used_or_no_runs() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("r/checkpoints")).unwrap();
    std::fs::write(place.path("r/checkpoints/notes.txt"), "mine").unwrap();
    place.train("r", "").refused(&["r has checkpoints/ but no config.toml", "name another folder as run.dir"]);
    place.run("train --resume r").refused(&["r is no run folder"]);
    assert_eq!(std::fs::read_dir(place.path("r")).unwrap().count(), 1, "the folder was changed");
    std::fs::write(place.path("r/config.toml"), "").unwrap();
    place.train("r", "").refused(&["the run folder r holds a run", "--resume r"]);
    assert_eq!(std::fs::read_dir(place.path("r")).unwrap().count(), 2, "the folder was changed");
    place.run("train --resume nowhere").refused(&["nowhere is no run folder"]);
    place.run("sample --checkpoint nowhere").refused(&["nowhere"]);
    place.run("sample --checkpoint nowhere --out grid.jpg").refused(&["grid.jpg must end in .png"]);
    place.run("checkpoint verify nowhere").refused(&["nowhere"]);
}
