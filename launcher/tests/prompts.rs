//! From captions to pictures of a prompt, by the program.

mod common;

use std::fs;

use common::{PROMPTED, Place, Ran, ran};
use image::{ImageFormat, RgbImage};

/// A place with pictures of two captions each, as `d.h5`, and the config `prompted.toml`.
fn place() -> Place {
    let place = Place::new();
    fs::create_dir(place.path("photos")).unwrap();
    for (i, colour) in ["red", "green", "blue", "grey"].iter().enumerate() {
        let picture = RgbImage::from_pixel(8, 8, image::Rgb([60 * i as u8, 0, 200]));
        picture.save_with_format(place.path(&format!("photos/{i}.png")), ImageFormat::Png).unwrap();
        fs::write(place.path(&format!("photos/{i}.txt")), format!("a {colour} square\nall {colour}\n")).unwrap();
    }
    fs::write(place.path("prompted.toml"), PROMPTED).unwrap();
    place.run("data import --pictures photos --resolution 8 --out d.h5").ok();
    place
}

/// Samples of `run` by arguments that may hold spaces.
fn sample(place: &Place, arguments: &[&str]) -> Ran {
    ran(place.command("sample --checkpoint run").args(arguments).output().unwrap())
}

#[test]
fn a_sentence_becomes_a_picture() {
    let place = place();
    let ran = place.run("data tokenizer d.h5 --vocabulary 300").ok();
    assert!(ran.out.contains("tokens, 3 per prompt; the longest caption takes 3"), "{}", ran.out);
    assert!(place.run("data info d.h5").ok().out.contains("3 per prompt"));
    place.run("train --config prompted.toml --set run.dir=run").ok();
    assert!(place.path("run/samples/one-step.png").exists());

    let prompts = ["--prompt", "a red square", "--prompt", "All blue!", "--count", "2"];
    let drawn = |more: &[&str]| sample(&place, &[&prompts, more].concat());
    let ran = drawn(&["--out", "page.png"]).ok();
    assert!(ran.out.contains("page.png: 4 pictures, 2 per prompt, and each of them in page/"), "{}", ran.out);
    let page = image::open(place.path("page.png")).unwrap();
    let mut names: Vec<_> = fs::read_dir(place.path("page")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let expected = ["0000-a-red-square.png", "0001-a-red-square.png", "0002-All-blue.png", "0003-All-blue.png"];
    assert_eq!(names, expected);

    // A prompt's pictures do not depend on the others; guidance and what to lead away from change them.
    let pixels = |file: &str| image::open(place.path(file)).unwrap().into_rgb8().into_raw();
    fs::write(place.path("lines"), "All blue!\n\n").unwrap();
    sample(&place, &["--prompts", "lines", "--out", "alone.png"]).ok();
    assert_eq!(pixels("alone/0000-All-blue.png"), pixels("page/0002-All-blue.png"));
    drawn(&["--guidance", "4", "--out", "guided.png"]).ok();
    drawn(&["--guidance", "4", "--negative", "all red", "--out", "negative.png"]).ok();
    assert_ne!(pixels("guided/0002-All-blue.png"), pixels("page/0002-All-blue.png"));
    assert_ne!(pixels("guided/0002-All-blue.png"), pixels("negative/0002-All-blue.png"));
    assert!(page.width() > 2 * 160);

    let long = sample(&place, &["--prompt", "a red square and much more", "--out", "long.png"]).ok();
    long.says(&["has more than the model's 3 tokens", "left out: 'and much more'"]);
    sample(&place, &["--prompt", " "]).refused(&["the prompt is empty", "write in words"]);
    sample(&place, &[]).refused(&["the model draws prompts, and there is none", "--prompt"]);
    sample(&place, &["--prompt", "x", "--negative", "y"]).refused(&["--negative has no effect without guidance"]);
    sample(&place, &["--prompts", "gone"]).refused(&["cannot read gone"]);
}

#[test]
fn a_run_goes_on_with_its_own_tokenizer_alone() {
    let place = place();
    let train = "train --config prompted.toml --set run.dir=run";
    place.run(train).refused(&["it reads prompts, and the data have none", "data tokenizer"]);
    place.run("data tokenizer d.h5 --vocabulary 300 --tokens 4").ok();
    place.run(&format!("{train} --set train.steps=2")).ok();
    place.run("data tokenizer d.h5 --vocabulary 258 --tokens 4").ok();
    let more = "train --resume run --set train.steps=3";
    place.run(more).refused(&["d.h5 has another tokenizer than", "--checkpoint"]);
    let back = place.run("data tokenizer d.h5 --checkpoint run").ok();
    assert!(back.out.contains("4 per prompt"), "{}", back.out);
    place.run(more).ok();
}

#[test]
fn tokenizers_that_cannot_be_are_told() {
    let place = place();
    let refused = |arguments: &str, parts: &[&str]| {
        let before = fs::read(place.path("d.h5")).unwrap();
        place.run(&format!("data tokenizer d.h5 {arguments}")).refused(parts);
        assert_eq!(fs::read(place.path("d.h5")).unwrap(), before);
    };
    refused("--vocabulary 200", &["a vocabulary of 200 is too small", "257"]);
    fs::write(place.path("t.json"), "{}").unwrap();
    refused("--file t.json", &["t.json: no tokenizer"]);
    refused("--file gone.json", &["cannot read gone.json"]);
    refused("--of d.h5", &["d.h5 has no tokenizer"]);
    let cut = place.run("data tokenizer d.h5 --vocabulary 300 --tokens 2").ok();
    cut.says(&["4 captions are longer than 2 tokens and are cut; --tokens 3 keeps all"]);
    assert_eq!(place.run("data tokenizer d.h5").code, Some(2));
    let dit = "--set data.kind=hdf5 --set data.path=d.h5 --set model.kind=dit --set model.heads=2 --set train.steps=1";
    place.train("dit", dit).ok().says(&["the dataset has captions, and this kind of model reads none"]);
    place.train("toy", "").ok();
    ran(place.command("sample --checkpoint toy --prompt").arg("a b").output().unwrap())
        .refused(&["was not trained on captions", "--labels"]);
}
