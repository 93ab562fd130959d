//! Datasets that are imported and looked at, by the program.

mod common;

use std::fs;

use common::Place;
use hdf5_metno::File;
use image::{ImageFormat, RgbImage};

/// Puts pictures of one colour each, with a caption, into the folder `photos`.
fn photos(place: &Place, count: u8) {
    fs::create_dir(place.path("photos")).unwrap();
    for i in 0..count {
        let picture = RgbImage::from_pixel(20, 10, image::Rgb([i, 0, 200]));
        picture.save_with_format(place.path(&format!("photos/{i:02}.png")), ImageFormat::Png).unwrap();
        fs::write(place.path(&format!("photos/{i:02}.txt")), format!("a blue of {i}")).unwrap();
    }
}

#[test]
fn a_page_shows_samples_of_the_whole_dataset_with_their_captions() {
    let place = Place::new();
    photos(&place, 10);
    place.run("data import --pictures photos --resolution 8 --out d.h5").ok();
    let ran = place.run("data info d.h5 --picture pages/page.png --count 4").ok();
    assert!(ran.out.ends_with("checksums agree\npages/page.png: 4 of 10 samples\n"), "{}", ran.out);
    let page = image::open(place.path("pages/page.png")).unwrap().into_rgb8();
    let side = page.width() / 2;
    let reds: Vec<u8> = [(0, 0), (1, 0), (0, 1), (1, 1)]
        .map(|(column, row)| page.get_pixel(column * side + 20, row * page.height() / 2 + 20).0[0])
        .to_vec();
    assert_eq!(reds, [0, 3, 6, 9], "spread evenly, the first and the last among them");
    assert_eq!(place.run("data info d.h5 --count 4").code, Some(2), "a count of nothing");
}

#[test]
fn files_of_other_programs_are_imported_or_refused_in_one_line_without_a_trace() {
    let place = Place::new();
    let parquet = include_bytes!("../../data/tests/pictures/datasets.parquet");
    fs::write(place.path("a.parquet"), parquet).unwrap();
    fs::write(place.path("cut.parquet"), &parquet[..9_000]).unwrap();
    fs::write(place.path("a.tar"), "no tar").unwrap();
    let file = File::create(place.path("x.h5")).unwrap();
    file.new_dataset::<u8>().shape((2, 3, 8, 8)).create("x").unwrap().write_raw(&[7u8; 384]).unwrap();
    file.new_dataset::<i64>().shape(2).create("y").unwrap().write_raw(&[0i64, 2]).unwrap();
    file.close().unwrap();
    let import = |arguments: &str| place.run(&format!("data import {arguments} --out d.h5"));
    import("--pictures cut.parquet").refused(&["'cut.parquet': it cannot be read as a parquet file"]);
    import("--pictures a.parquet --caption-key title")
        .refused(&["'a.parquet': there is no column 'title' of texts (its columns: image, caption)"]);
    import("--pictures a.tar").refused(&["'a.tar': it cannot be read as a tar file"]);
    import("--pictures a.parquet a.tar").refused(&["'a.tar' is neither a folder of pictures nor a .tar or .parquet"]);
    import("--hdf5 x.h5 --images images --labels y").refused(&["'x.h5': there is no array 'images' (it has: x, y)"]);
    assert!(!place.path("d.h5").exists() && !place.path("d.h5.importing").exists());
    let ran = import("--pictures a.parquet --resolution 8").ok();
    assert!(ran.out.contains("images     3 of 8 x 8 x 3") && ran.out.contains("a bear"), "{}", ran.out);
    let ran = import("--hdf5 x.h5 --images x --labels y --range 0,100").ok();
    assert!(ran.out.contains("images     2 of 8 x 8 x 3, u8 in [0, 100]\n"), "{}", ran.out);
    assert!(ran.out.contains("classes    3\n"), "{}", ran.out);
}
