//! Training on pictures of several shapes, by the program.

mod common;

use std::fs;

use common::{PROMPTED, Place};
use image::{ImageFormat, RgbImage};

/// A place with pictures of two aspect ratios as `d.h5`, and the config `prompted.toml`.
fn place() -> Place {
    let place = Place::new();
    fs::create_dir(place.path("photos")).unwrap();
    for i in 0..9u32 {
        let [width, height] = [[8, 8], [8, 8], [12, 4]][i as usize % 3];
        let picture = RgbImage::from_pixel(width, height, image::Rgb([20 * i as u8, 0, 200]));
        picture.save_with_format(place.path(&format!("photos/{i:02}.png")), ImageFormat::Png).unwrap();
        fs::write(place.path(&format!("photos/{i:02}.txt")), format!("a square of {i}\n")).unwrap();
    }
    fs::write(place.path("prompted.toml"), PROMPTED.replace("embed_max_size = 2", "embed_max_size = 4")).unwrap();
    let import = "data import --pictures photos --resolution 8 --aspect-buckets --multiple-of 4 --most-aspect 4";
    let imported = place.run(&format!("{import} --out d.h5")).ok();
    imported.says(&["pictures in each bucket (width x height): 0 4 x 16 6 8 x 8 3 16 x 4"]);
    place.run("data tokenizer d.h5 --vocabulary 300").ok();
    place
}

#[test]
fn every_shape_is_trained_on_in_its_turn_and_drawn_on_demand() {
    let place = place();
    let page = place.run("data info d.h5 --picture page.png --count 9").ok();
    assert!(page.out.contains("9 of 3 channels in 2 shapes"), "{}", page.out);
    let train = "train --config prompted.toml --set flow.steps=4 --set train.steps=5 --set train.checkpoint_every=3";
    place.run(&format!("{train} --set run.dir=whole")).ok().says(&[
        "compiling the flow step for pictures of 8 x 8",
        "compiling the flow step for pictures of 16 x 4",
        "compiling the twinflow step for pictures of",
    ]);
    // A run goes on in the middle as if it had not been stopped; so do two ranks, but for the order of sums.
    place.run(&format!("{train} --set run.dir=half --set train.steps=3")).ok();
    place.run("train --resume half --set train.steps=5").ok();
    let loss = |run: &str, step: usize| place.metrics(run)[step - 1]["loss"].as_f64().unwrap();
    assert_eq!(loss("half", 5), loss("whole", 5));
    place.mpirun(2, &format!("{train} --set run.dir=ranks --set train.steps=3")).ok();
    assert!((1..=3).all(|step| (loss("ranks", step) - loss("whole", step)).abs() <= 1e-5 * loss("whole", step)));
    let sample = |more: &str| place.run(&format!("sample --checkpoint whole --prompt square {more}"));
    sample("--out usual.png").ok();
    sample("--size 16x4 --out wide.png").ok();
    let size = |file: &str| image::open(place.path(file)).unwrap().into_rgb8().dimensions();
    let (usual, wide) = (size("usual/0000-square.png"), size("wide/0000-square.png"));
    assert!(usual.0 == usual.1 && wide.0 >= 2 * wide.1, "{usual:?} {wide:?}");
    sample("--size 10x4 --out x.png").refused(&["data.width = 10 must be a multiple of", "patch"]);
    let eval = place.run("eval --checkpoint whole");
    eval.refused(&["d.h5 holds pictures of 2 shapes; eval judges those of one", "without --aspect-buckets"]);
}

#[test]
fn networks_of_one_shape_and_sides_that_do_not_fit_are_refused() {
    let place = place();
    let train =
        |more: &str| place.run(&format!("train --config tiny.toml --set data.kind=hdf5 --set data.path=d.h5 {more}"));
    train("--set run.dir=mlp").refused(&["parameters depend on the height and width", "--aspect-buckets"]);
    train("--set run.dir=dit --set model.kind=dit --set model.heads=2 --set model.patch=8")
        .refused(&["must be a multiple of model.patch = 8"]);
    assert!(!place.path("mlp").exists() && !place.path("dit").exists());
    let import = |more: &str| place.run(&format!("data import --pictures photos --out x.h5 {more}"));
    import("--resolution 8 --aspect-buckets --multiple-of 64").refused(&["no bucket near 8 x 8", "multiples of 64"]);
    assert_eq!(import("--multiple-of 8").code, Some(2), "squares need no multiple");
    assert_eq!(import("--aspect-buckets --most-aspect 0.5").code, Some(2));
    assert!(!place.path("x.h5").exists());
}
