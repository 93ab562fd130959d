//! Whole runs on two moons: files, resuming, ranks, signals, failures in the middle.

mod common;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use common::{BOTH_PHASES, Place, checkpoints, ran, signal};
use twinflow_array::HostArray;
use twinflow_checkpoints::Checkpoint;

/// All arrays of a run's newest checkpoint, by name.
fn state(run: &Path) -> Vec<(String, HostArray)> {
    let newest = checkpoints(run).pop().unwrap();
    let arrays = Checkpoint::open(newest).unwrap().read_all().unwrap();
    arrays.into_iter().map(|(path, array)| (path.to_string(), array)).collect()
}

/// `||a - b|| / ||b||` over the parameters.
fn distance(a: &Path, b: &Path) -> f64 {
    let (mut difference, mut length) = (0.0, 0.0);
    for ((name, x), (_, y)) in state(a).iter().zip(&state(b)).filter(|((name, _), _)| name.starts_with("params/")) {
        assert_eq!(x.ty(), y.ty(), "{name}");
        for (x, y) in x.to_f64().iter().zip(y.to_f64()) {
            difference += (x - y).powi(2);
            length += y * y;
        }
    }
    (difference / length).sqrt()
}

#[test]
fn a_run_writes_its_files_and_samples_can_be_drawn() {
    let place = Place::new();
    place.train("r", BOTH_PHASES).ok();
    let lines = place.metrics("r");
    assert_eq!(
        lines.iter().map(|line| line["step"].as_u64().unwrap()).collect::<Vec<_>>(),
        (1..=8).collect::<Vec<_>>()
    );
    let phases: Vec<&str> = lines.iter().map(|line| line["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, [["flow"; 4], ["twinflow"; 4]].concat());
    for key in ["loss", "grad_norm", "learning_rate", "samples_per_second", "step_seconds"] {
        assert!(lines.iter().all(|line| line[key].as_f64().unwrap() > 0.0), "{key}");
    }
    for file in ["config.toml", "samples/one-step.png", "samples/loss.png", "logs/rank-0.log", "report.html"] {
        assert!(place.path("r").join(file).is_file(), "{file}");
    }
    let draw = |out: &str, more: &str| place.run(&format!("sample --checkpoint r --count 5 --out {out} {more}")).ok();
    draw("all.h5", "--seed 3");
    draw("one.h5", "--seed 3 --labels 1");
    draw("grid.png", "--nfe 4 --style any");
    let points = |file: &str| {
        hdf5_metno::File::open(place.path(file)).unwrap().dataset("images").unwrap().read_raw::<f32>().unwrap()
    };
    assert_eq!(points("all.h5")[10..], points("one.h5")[..], "a label's samples do not depend on the others");
    place.run("sample --checkpoint r --labels 2").refused(&["label 2 is out of range", "2 classes"]);
    let verified = place.run("checkpoint verify r").ok().out;
    let files = checkpoints(&place.path("r"));
    assert!(
        files.len() == 2 && files.iter().all(|file| verified.contains(file.file_name().unwrap().to_str().unwrap()))
    );
    place.run("checkpoint export r --out weights.safetensors").ok();
    let ema = state(&place.path("r")).into_iter().filter(|(name, _)| name.starts_with("ema/"));
    let (arrays, values) = sorted_values(ema.map(|(_, array)| array.to_f64()));
    assert!(arrays > 0 && values.iter().any(|value| *value != 0.0));
    assert!(exported(&place.path("weights.safetensors")) == (arrays, values), "other weights were exported");
}

/// The values of all arrays, and how many arrays there are: other programs lay weights out in other ways.
fn sorted_values(arrays: impl Iterator<Item = Vec<f64>>) -> (usize, Vec<f64>) {
    let arrays: Vec<Vec<f64>> = arrays.collect();
    let mut values = arrays.concat();
    values.sort_by(f64::total_cmp);
    (arrays.len(), values)
}

fn exported(path: &Path) -> (usize, Vec<f64>) {
    let bytes = std::fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let floats =
        |bytes: &[u8]| bytes.chunks_exact(4).map(|f| f32::from_le_bytes(f.try_into().unwrap()).into()).collect();
    sorted_values(file.tensors().into_iter().map(|(_, tensor)| floats(tensor.data())))
}

#[test]
fn a_run_leaves_events_and_a_report_that_can_be_made_again() {
    let place = Place::new();
    place.train("r", &format!("{BOTH_PHASES} --set train.steps=6 --set train.sample_every=4")).ok();
    place.run("train --resume r --set train.steps=8").ok();
    assert_eq!(std::fs::read_dir(place.path("r/tensorboard")).unwrap().count(), 2, "a file per start");
    let report = std::fs::read_to_string(place.path("r/report.html")).unwrap();
    for part in ["Loss and its terms", "Self-play gap", "resumed after step 6", "--resume r", "step 4", "seed = 0"] {
        assert!(report.contains(part), "'{part}' is not in the report");
    }
    std::fs::remove_file(place.path("r/report.html")).unwrap();
    std::fs::write(place.path("r/eval.json"), r#"{"results": [{"nfe": 1, "class_accuracy": 0.5}]}"#).unwrap();
    let ran = place.run("report r").ok();
    assert_eq!(ran.out.trim(), "r/report.html");
    let with_evaluation = std::fs::read_to_string(place.path("r/report.html")).unwrap();
    assert!(with_evaluation.contains("class accuracy") && with_evaluation.len() > report.len());
    place.run("report nowhere").refused(&["nowhere is no run folder"]);
}

#[test]
fn a_run_with_frozen_parameters_is_sampled_exported_and_resumed() {
    let place = Place::new();
    place.train("r", "--set train.freeze=[\"class_embedding\"]").ok();
    for weights in ["ema", "params"] {
        place.run(&format!("sample --checkpoint r --count 2 --weights {weights} --out {weights}.h5")).ok();
    }
    place.run("checkpoint export r --out r.safetensors").ok();
    place.run("train --resume r --set train.steps=10").ok();
    assert_eq!(place.metrics("r").len(), 10);
}

#[test]
fn pictures_of_many_classes_show_some_and_say_so() {
    let place = Place::new();
    let shape = "--set data.height=4 --set data.width=4 --set data.channels=1 --set data.classes=100";
    let trained = place.train("r", &format!("--set data.kind=synthetic {shape} --set train.steps=2")).ok();
    trained.says(&["one-step.png (64 of 100 classes, spread evenly)"]);
    let height = |file: &str| image::open(place.path(file)).unwrap().height();
    assert_eq!(
        height("r/samples/one-step.png"),
        64 * (2 * 4 + 2) + 2,
        "a row of enlarged pictures for each of 64 classes"
    );
    let report = std::fs::read_to_string(place.path("r/report.html")).unwrap();
    assert!(report.contains("64 of 100 classes, spread evenly"));
    let picture = place.run("sample --checkpoint r --count 1 --out some.png").ok();
    assert!(picture.out.contains("64 samples, 1 per label (64 of 100 classes, spread evenly"), "{}", picture.out);
    let arrays = place.run("sample --checkpoint r --count 1 --out all.h5").ok();
    assert!(arrays.out.contains("100 samples, 1 per label") && !arrays.out.contains("64"), "{}", arrays.out);
}

#[test]
fn shells_get_their_completions() {
    let place = Place::new();
    for (shell, part) in
        [("bash", "complete -F"), ("zsh", "#compdef twinflow-xla"), ("fish", "complete -c twinflow-xla")]
    {
        let ran = place.run(&format!("completions {shell}")).ok();
        assert!(ran.out.contains(part) && ran.out.contains("resume"), "{}", ran.out);
    }
}

#[test]
fn a_resumed_run_equals_the_unbroken_one_bit_for_bit() {
    let place = Place::new();
    place.train("whole", BOTH_PHASES).ok();
    place.train("parts", &format!("{BOTH_PHASES} --set train.steps=6")).ok();
    place.run("train --resume parts --set train.steps=8").ok();
    assert!(state(&place.path("whole")) == state(&place.path("parts")), "the states differ");
    assert_eq!(place.metrics("parts").len(), 8);
    place.run("train --resume parts").ok().says(&["the run is complete", "train.steps"]);
}

/// The lines of rank 0's log that say how many programs came from the cache.
fn compiled_lines(place: &Place, run: &str) -> Vec<String> {
    let log = std::fs::read_to_string(place.path(run).join("logs/rank-0.log")).unwrap();
    log.lines().filter(|line| line.contains("compiled phase=")).map(str::to_owned).collect()
}

#[test]
fn a_run_whose_programs_come_from_the_cache_equals_one_that_compiles() {
    let place = Place::new();
    place.train("cold", &format!("{BOTH_PHASES} --set device.cache_dir=")).ok();
    assert!(!place.path("cache").exists());
    place.train("fills", BOTH_PHASES).ok();
    place.train("warm", &format!("{BOTH_PHASES} --set train.steps=6")).ok();
    place.run("train --resume warm --set train.steps=8").ok();
    let from_cache = |run: &str, n: usize| compiled_lines(&place, run).iter().all(|l| l.ends_with(&format!("={n}")));
    assert!(from_cache("cold", 0) && from_cache("fills", 0), "{:?}", compiled_lines(&place, "fills"));
    assert_eq!(compiled_lines(&place, "warm").len(), 3);
    assert!(from_cache("warm", 1), "{:?}", compiled_lines(&place, "warm"));
    assert!(state(&place.path("cold")) == state(&place.path("warm")), "the states differ");
    let doctor = place.run("doctor --config tiny.toml").ok();
    assert!(doctor.out.contains("4 compiled") && doctor.out.contains("of at most 2 GiB"), "{}", doctor.out);
}

#[test]
fn a_cache_that_cannot_be_written_is_one_warning() {
    let place = Place::new();
    std::fs::write(place.path("file"), "").unwrap();
    let ran = place.train("r", "--set device.cache_dir=file/cache").ok();
    assert_eq!(ran.err.matches("the cache of compiled programs file/cache").count(), 1, "{}", ran.err);
    let doctor = place.run("doctor --config tiny.toml --set device.cache_dir=file/cache").ok();
    assert!(doctor.out.contains("-> name a folder that you can write to"), "{}", doctor.out);
}

#[test]
fn mpi_ranks_devices_and_micro_batches_equal_one() {
    let place = Place::new();
    let settings = "--set train.steps=20 --set flow.steps=10";
    place.train("one", settings).ok();
    let same = |run: &str| {
        let distance = distance(&place.path(run), &place.path("one"));
        assert!(distance < 1e-5, "{run}: relative distance {distance:e}");
    };
    place.train("devices", &format!("{settings} --set device.devices=2")).ok();
    same("devices");
    place.train("micro", &format!("{settings} --set train.micro_batches=2")).ok();
    same("micro");
    for ranks in [2, 4] {
        let run = format!("ranks-{ranks}");
        place.mpirun(ranks, &format!("train --config tiny.toml --set run.dir={run} {settings}")).ok();
        same(&run);
    }
}

#[test]
fn a_signal_saves_and_the_run_goes_on_later() {
    let place = Place::new();
    let long = "train --config tiny.toml --set run.dir=r --set train.steps=100000";
    let mut command = place.command(long);
    let child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    place.await_steps("r");
    signal(&child, "USR1");
    ran(child.wait_with_output().unwrap()).stopped(&["train --resume r"]);
    let steps = place.metrics("r").len();
    let resumed = steps + 2;
    place.run(&format!("train --resume r --set train.steps={resumed}")).ok();
    assert_eq!(place.metrics("r").len(), resumed);
}

#[test]
fn what_is_not_finite_stops_or_is_skipped() {
    let place = Place::new();
    let wild = "--set optimizer.kind=sgd --set optimizer.learning_rate=1e30 --set optimizer.warmup_steps=0 \
                --set optimizer.clip_norm=0 --set train.checkpoint_every=1 --set train.keep_last=100";
    place.train("stop", wild).refused(&["loss_base is", "the run stops", "learning_rate"]);
    place.run("checkpoint verify stop").ok();
    let skipping = place.train("skip", &format!("{wild} --set train.non_finite=skip --set train.log_every=1")).ok();
    assert!(skipping.err.contains("skipped") && !skipping.err.contains('\x1b'), "{}", skipping.err);
    let lines = place.metrics("skip");
    assert_eq!(lines.len(), 8);
    assert!(lines.iter().any(|line| line["skipped"] == true));
    assert!(lines.iter().all(|line| line["loss"].is_number()));
    let resume = "train --resume skip --set train.steps=20";
    place
        .run(&format!("{resume} --set train.max_skipped=3"))
        .refused(&["3 steps in a row were skipped", "loss_base is"]);
    place.run("train --resume skip --set train.steps=12").refused(&["not one of the 2 steps was applied"]);
}

#[test]
fn checkpoints_that_are_damaged_or_of_another_model() {
    let place = Place::new();
    place.train("r", "").ok();
    place.run("train --resume r --set train.steps=9 --set model.width=24").refused(&["params/", "16", "24"]);
    let files = checkpoints(&place.path("r"));
    let newest = files.last().unwrap();
    let mut bytes = std::fs::read(newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(newest, bytes).unwrap();
    place.run("checkpoint verify r").refused(&["1 of 2 checkpoints are damaged"]);
    place.run(&format!("sample --checkpoint {}", newest.display())).refused(&["step-"]);
    // The one before it is whole: the run goes on from there.
    place.run("train --resume r").ok().says(&["skipping a checkpoint", "step-00000008.h5"]);
    assert_eq!(place.metrics("r").len(), 8);
}

#[test]
fn two_runs_do_not_share_a_folder() {
    let place = Place::new();
    let mut command = place.command("train --config tiny.toml --set run.dir=r --set train.steps=100000");
    let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while !place.path("r/config.toml").exists() {
        assert!(began.elapsed() < Duration::from_secs(60), "no run folder");
        std::thread::sleep(Duration::from_millis(20));
    }
    place.train("r", "").refused(&["the run folder r is in use by process"]);
    place.run("train --resume r").refused(&["the run folder r is in use by process"]);
    child.kill().unwrap();
    child.wait().unwrap();
}
