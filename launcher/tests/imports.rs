//! Datasets that are imported and looked at, by the program.

mod common;

use std::fs;

use common::Place;
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
