//! `eval` on pictures with captions, some of which were not trained on.

mod common;

use std::fs;

use common::{PROMPTED, Place};
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::Value;

/// Imports pictures of these colours, of which the first two look the same.
fn import(place: &Place, name: &str, colours: &[(&str, [u8; 3])]) {
    let folder = place.path(name);
    fs::create_dir(&folder).unwrap();
    for (i, (colour, rgb)) in colours.iter().enumerate() {
        let picture = RgbImage::from_pixel(8, 8, Rgb(*rgb));
        picture.save_with_format(folder.join(format!("{i}.png")), ImageFormat::Png).unwrap();
        fs::write(folder.join(format!("{i}.txt")), format!("a {colour} square\nall {colour}\na square\n")).unwrap();
    }
    place.run(&format!("data import --pictures {name} --resolution 8 --out {name}.h5")).ok();
}

#[test]
fn samples_of_captions_are_measured_and_repeat_themselves() {
    let place = Place::new();
    fs::write(place.path("prompted.toml"), PROMPTED).unwrap();
    let [red, green, blue, black] = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 0]];
    import(&place, "d", &[("red", red), ("crimson", red), ("green", green), ("blue", blue)]);
    place.run("data tokenizer d.h5 --vocabulary 300").ok();
    place.run("train --config prompted.toml --set run.dir=r --set flow.steps=4 --set train.steps=4").ok();

    let alone = place.run("eval --checkpoint r --nfe 1 --out a.json").ok();
    assert!(["judge of 4 pictures", "9 captions of training", "1 (few)"].iter().all(|part| alone.out.contains(part)));
    assert!(!alone.out.contains("held out"), "{}", alone.out);
    import(&place, "d-held-out", &[("black", black)]);
    let eval = |out: &str| place.run(&format!("eval --checkpoint r --nfe 1,4@3 --count 6 --out {out}")).ok();
    let first = eval("b.json");
    for part in
        ["kept in", "d.judge.h5", "6 captions of training", "2 captions held out", "4 (any) @ 3", "real, varied"]
    {
        assert!(first.out.contains(part), "{part}: {}", first.out);
    }
    assert!(eval("c.json").out.contains("pictures: read from"));
    let text = |file: &str| fs::read_to_string(place.path(file)).unwrap();
    assert_eq!(text("b.json"), text("c.json"));

    let report: Value = serde_json::from_str(&text("b.json")).unwrap();
    let judge = &report["judge"];
    assert_eq!((&judge["pictures"], &judge["looks"], &judge["accuracy"]), (&5.into(), &4.into(), &1.0.into()));
    for set in ["training", "held_out"] {
        let varied = &report[set]["varied"];
        assert_eq!((&varied["retrieval"], &varied["pixel_retrieval"]), (&1.0.into(), &1.0.into()), "{report}");
        let rows = report[set]["results"].as_array().unwrap();
        assert_eq!((&rows[0]["nfe"], &rows[1]["sample"]["guidance"]), (&1.into(), &3.0.into()));
        assert_eq!(rows[1]["diversity"], 1.0, "{report}");
        let distance = |scores: &Value| scores["frechet_distance"].as_f64().unwrap();
        assert!(distance(&rows[0]) > distance(varied), "four steps of training are not enough: {report}");
    }

    let refused = |arguments: &str, parts: &[&str]| {
        place.run(&format!("eval --checkpoint r {arguments}")).refused(parts);
    };
    refused("--test-data d.h5", &["--test-data has no effect on the evaluation of captions"]);
    refused("--held-out d.h5", &["the training images have every caption of d.h5 too"]);
    refused("--held-out gone.h5", &["gone.h5"]);
}
