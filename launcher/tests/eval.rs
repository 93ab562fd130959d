//! `eval` on three classes of bars.

mod common;

use common::{Place, ran};
use serde_json::Value;

const SIDE: usize = 8;

/// Pictures that no file holds.
const SYNTHETIC: &str = "--set data.kind=synthetic --set data.height=4 --set data.width=4 --set data.channels=1 \
                         --set data.classes=2";

/// Writes MNIST-like files of `count` images: class k has a bright bar at row 3k, elsewhere noise.
fn write_idx(place: &Place, name: &str, count: usize) {
    let pixel = |i: usize| {
        let (image, row) = (i / (SIDE * SIDE), i / SIDE % SIDE);
        let noise = (i.wrapping_mul(2_654_435_761) >> 9) as u8;
        if row == image % 3 * 3 { 192 + noise / 4 } else { noise / 3 }
    };
    let header = |magic: u32, dims: &[usize]| {
        let words = [magic].into_iter().chain(dims.iter().map(|dim| *dim as u32));
        words.flat_map(u32::to_be_bytes).collect::<Vec<u8>>()
    };
    let mut images = header(0x803, &[count, SIDE, SIDE]);
    images.extend((0..count * SIDE * SIDE).map(pixel));
    let mut labels = header(0x801, &[count]);
    labels.extend((0..count).map(|image| (image % 3) as u8));
    std::fs::write(place.path("images"), images).unwrap();
    std::fs::write(place.path("labels"), labels).unwrap();
    place.run(&format!("data import --images images --labels labels --classes 3 --out {name}.h5")).ok();
}

/// Trains a tiny transformer on the training images, by flow matching alone, which compiles quickly.
fn trained() -> Place {
    let place = Place::new();
    write_idx(&place, "bars", 150);
    let data = "--set data.kind=hdf5 --set data.path=bars.h5";
    let model = "--set model.kind=dit --set model.heads=1 --set model.patch=4";
    let short = "--set flow.steps=4 --set train.steps=4";
    place.train("r", &format!("{data} {model} {short}")).ok();
    place
}

#[test]
fn an_evaluation_measures_samples_and_repeats_itself() {
    let place = trained();
    let missing = place.run("eval --checkpoint r");
    missing.refused(&["no test images at", "bars-test.h5", "--from-debian", "--test-data"]);
    write_idx(&place, "bars-test", 60);

    let first = place.run("eval --checkpoint r --nfe 1,4 --count 5 --out a.json").ok();
    assert!(["kept in", "bars.judge.h5", "4 (any)"].iter().all(|part| first.out.contains(part)), "{}", first.out);
    let second = place.run("eval --checkpoint r --nfe 1,4 --count 5 --out b.json").ok();
    assert!(second.out.contains("read from") && second.out.contains("bars.judge.h5"), "{}", second.out);
    let text = |file: &str| std::fs::read_to_string(place.path(file)).unwrap();
    assert_eq!(text("a.json"), text("b.json"));

    let report: Value = serde_json::from_str(&text("a.json")).unwrap();
    assert!(report["classifier"]["test_accuracy"].as_f64().unwrap() > 0.95, "{report}");
    assert_eq!(report["classifier"]["test_images"], 60);
    let real = &report["train_images"];
    assert!((real["diversity"].as_f64().unwrap() - 1.0).abs() < 0.3, "{real}");
    let rows = report["results"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["nfe"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 4]);
    assert_eq!((&rows[0]["sample"]["style"], &rows[1]["sample"]["style"]), (&"few".into(), &"any".into()));
    for row in rows {
        let distance = |scores: &Value| scores["frechet_distance"].as_f64().unwrap();
        assert!(distance(row) > 2.0 * distance(real), "four steps of training are not enough: {row} {real}");
        assert!((0.0..=1.0).contains(&row["class_accuracy"].as_f64().unwrap()), "{row}");
    }

    // A damaged classifier is trained anew; one sample per class has no diversity.
    std::fs::write(place.path("bars.judge.h5"), "not HDF5").unwrap();
    let mut command = place.command("eval --checkpoint r --nfe 1 --count 1 --out c.json");
    let third = ran(command.output().unwrap()).ok();
    assert!(third.out.contains("kept in") && third.out.contains("bars.judge.h5"), "{}", third.out);
    let report: Value = serde_json::from_str(&text("c.json")).unwrap();
    assert!(report["results"][0]["diversity"].is_null(), "{report}");
}

#[test]
fn evaluations_that_make_no_sense_are_refused() {
    let place = Place::new();
    place.train("noise", &format!("{SYNTHETIC} --set flow.steps=2 --set train.steps=2")).ok();
    place.run("eval --checkpoint noise").refused(&["not trained on a dataset file", "--data"]);
    place.run("eval --checkpoint noise --set sample.nfe=3").refused(&["--set sample.nfe=3 has no effect on eval"]);
    write_idx(&place, "bars", 6);
    let other = place.run("eval --checkpoint noise --data bars.h5 --test-data bars.h5");
    other.refused(&["bars.h5 holds images [8, 8, 1] of 3 classes", "[4, 4, 1] of 2"]);
}

#[test]
fn points_are_compared_with_real_ones_of_their_class() {
    let place = Place::new();
    place.train("toy", "--set flow.steps=2 --set train.steps=2").ok();
    place.run("eval --checkpoint toy --data bars.h5").refused(&["--data", "points in the plane"]);
    let printed = place.run("eval --checkpoint toy --nfe 1,4 --count 100").ok();
    assert!(printed.out.contains("1 (few)") && printed.out.contains("energy distance"), "{}", printed.out);
    let report: Value = serde_json::from_str(&std::fs::read_to_string(place.path("eval.json")).unwrap()).unwrap();
    let real = report["real_energy_distance"].as_f64().unwrap();
    for row in report["results"].as_array().unwrap() {
        let distance = row["energy_distance"].as_f64().unwrap();
        assert!(real > 0.0 && distance > 10.0 * real, "two steps of training are not enough: {report}");
    }
}
