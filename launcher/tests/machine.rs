//! What the program makes of the machine that it runs on.

mod common;

use std::fs::{File, read_to_string};

use common::{Place, ran};

/// Hides AVX512-BF16 from XLA, so that every processor is one without.
const NO_BF16: (&str, &str) = ("XLA_FLAGS", "--xla_cpu_max_isa=AVX2");

#[test]
fn auto_precision_is_told_and_written_down_for_all_that_follows() {
    let place = Place::new();
    let on_old_processor = |arguments: &str| ran(place.command(arguments).env(NO_BF16.0, NO_BF16.1).output().unwrap());
    let train = "train --config tiny.toml --set train.precision=auto --set run.dir=r";
    on_old_processor(train).ok().says(&["products in f32", "train.precision is \"auto\""]);
    let written = || read_to_string(place.path("r/config.toml")).unwrap();
    assert!(written().contains("precision = \"f32\""), "{}", written());
    let info = place.run("checkpoint info r").ok();
    assert!(info.out.contains("precision = \"f32\""), "{}", info.out);

    let resumed = place.run("train --resume r --set train.steps=10").ok();
    assert!(!resumed.err.contains("products in") && written().contains("precision = \"f32\""), "{}", resumed.err);
    // Here it may be either: what is said is what is written.
    let again = place.run("train --resume r --set train.steps=12 --set train.precision=auto").ok();
    let taken = if again.err.contains("products in bf16") { "bf16" } else { "f32" };
    assert!(
        again.err.contains("products in") && written().contains(&format!("precision = \"{taken}\"")),
        "{}",
        again.err
    );
}

#[test]
fn doctor_runs_each_program_of_a_config_once() {
    let place = Place::new();
    let doctor = place.run("doctor --config tiny.toml --set flow.steps=4").ok();
    for program in ["flow-step", "begin-twinflow", "twinflow-step", "sample"] {
        assert!(doctor.out.contains(&format!("ok       trial        {program} ran once")), "{}", doctor.out);
    }
    let flow_alone = place.run("doctor --config tiny.toml").ok();
    assert!(!flow_alone.out.contains("twinflow-step"), "a phase that the run never reaches: {}", flow_alone.out);
    assert!(!place.path("runs").exists() && !place.path("r").exists(), "a check made a run folder");
    let refused = place.run("doctor --config tiny.toml --set train.batch_size=3");
    assert!(refused.out.contains("PROBLEM  settings     train.batch_size = 3 is too small"), "{}", refused.out);
    refused.refused(&["1 problem"]);
}

#[test]
fn no_file_is_locked_whatever_the_environment_says() {
    let place = Place::new();
    let with_locks =
        |arguments: &str| ran(place.command(arguments).env("HDF5_USE_FILE_LOCKING", "TRUE").output().unwrap());
    place.train("r", "").ok();
    let held = File::open(place.path("r/checkpoints/step-00000008.h5")).unwrap();
    held.lock().unwrap();
    with_locks("checkpoint verify r").ok();
    with_locks("train --resume r --set train.steps=9").ok();
}

#[test]
fn exports_of_equal_runs_are_equal_to_the_byte() {
    let place = Place::new();
    let [one, other] = ["r", "q"].map(|run| {
        place.train(run, "").ok();
        let file = format!("{run}.safetensors");
        place.run(&format!("checkpoint export {run} --out {file}")).ok();
        std::fs::read(place.path(&file)).unwrap()
    });
    assert!(one == other, "the folder or the order of the header's keys is in the file");
}
