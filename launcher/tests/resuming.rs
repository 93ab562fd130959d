//! A run that goes on elsewhere, or is told to go on as another.

mod common;

use std::fs;

use common::{Place, contents, ran};
use twinflow_array::HostArray;
use twinflow_data::{DatasetMetadata, write_dataset};

#[test]
fn a_run_finds_its_files_from_any_folder() {
    let place = Place::new();
    let images = HostArray::from_slice([16, 4, 4, 1], &[7u8; 256]).unwrap();
    let labels: Vec<i32> = (0..16).map(|sample| sample % 2).collect();
    write_dataset(place.path("d.h5"), &images, &labels, &DatasetMetadata::new("small", "made up", 2)).unwrap();
    let own = "--set data.kind=hdf5 --set data.path=d.h5 --set device.cache_dir=programs --set train.batch_size=8";
    place.train("r", &format!("{own} --set train.steps=1")).ok();
    fs::create_dir(place.path("sub")).unwrap();
    let from_sub = |arguments: &str| ran(place.command(arguments).current_dir(place.path("sub")).output().unwrap());
    from_sub("train --resume ../r --set train.steps=2").ok();
    assert_eq!(fs::read_dir(place.path("sub")).unwrap().count(), 0, "the cache is where it was");
    let missing = from_sub("train --config ../tiny.toml --set data.kind=hdf5 --set data.path=d.h5");
    missing.refused(&["no dataset at 'd.h5'", "relative to", "/sub"]);
}

#[test]
fn what_a_resumed_run_cannot_change_is_refused() {
    let place = Place::new();
    place.train("r", "--set flow.steps=4").ok();
    let before = contents(&place.path("r"));
    let resume = "train --resume r --set train.steps=10";
    place
        .run(&format!("{resume} --set run.dir=q"))
        .refused(&["run.dir cannot be set with --resume", "the run is in r"]);
    place
        .run(&format!("{resume} --set flow.steps=9"))
        .refused(&["flow.steps lies above step 8", "its twinflow phase already"]);
    assert!(contents(&place.path("r")) == before && !place.path("q").exists(), "a refused command wrote a file");
}

#[test]
fn other_cores_than_before_are_a_warning() {
    let place = Place::new();
    place.train("r", "").ok();
    let path = place.path("r/environment.jsonl");
    let line = fs::read_to_string(&path).unwrap();
    let start: serde_json::Value = serde_json::from_str(line.trim()).unwrap();
    assert_eq!(start["rank_cores"], serde_json::json!([start["cores"]]));
    fs::write(&path, line.replace("\"rank_cores\":[", "\"rank_cores\":[1")).unwrap();
    let resume = "train --resume r --set train.steps=9";
    place.run(resume).ok().says(&["cores per rank are", "not bit for bit"]);
    let log = fs::read_to_string(place.path("r/logs/rank-0.log")).unwrap();
    assert!(log.contains("cores per rank are"), "warnings of the start are in the log too");
}

#[test]
fn a_start_that_failed_half_way_is_started_again() {
    let place = Place::new();
    fs::create_dir(place.path("r")).unwrap();
    fs::write(place.path("r/slurm-1.out"), "job 1").unwrap();
    fs::write(place.path("r/samples"), "in the way").unwrap();
    place.train("r", "").refused(&["cannot make the folder r/samples", "a file is in the way"]);
    assert!(place.path("r/config.toml").exists() && !place.path("r/checkpoints").exists());
    fs::remove_file(place.path("r/samples")).unwrap();
    place.train("r", "").ok();
    assert_eq!(fs::read_to_string(place.path("r/slurm-1.out")).unwrap(), "job 1");
}
