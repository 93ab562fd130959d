//! Pictures in several shapes: imported, stored, read.

mod common;

use std::fs;

use common::{folder, import_into, imported, message, picture_options, target};
use image::{ImageFormat, Rgb, RgbImage};
use tempfile::TempDir;
use twinflow_data::{Dataset, IMAGES, PictureOptions, Shapes, Source, Verify};

/// Shapes near 16 x 16 in multiples of 4: 12 x 20, 16 x 16, 20 x 12.
fn options() -> PictureOptions {
    PictureOptions { shapes: Shapes::of_aspects(16, Some(4), 2.0).unwrap(), ..picture_options() }
}

/// A folder `set` of pictures of these widths and heights, of which the red is the place.
fn set(sizes: &[[u32; 2]]) -> TempDir {
    let folder = folder();
    fs::create_dir(folder.path().join("set")).unwrap();
    for (i, [width, height]) in sizes.iter().enumerate() {
        let picture = RgbImage::from_pixel(*width, *height, Rgb([i as u8, 0, 0]));
        let path = folder.path().join(format!("set/{i:03}.png"));
        picture.save_with_format(&path, ImageFormat::Png).unwrap();
        fs::write(path.with_extension("txt"), format!("picture {i}")).unwrap();
    }
    folder
}

#[test]
fn pictures_lie_by_shape_with_their_captions() {
    let folder = set(&[[30, 30], [40, 20], [20, 40], [17, 16], [50, 30]]);
    let report = import_into(&folder, &[folder.path().join("set")], &options()).unwrap();
    assert_eq!(report.shapes, [([12, 20], 1), ([16, 16], 2), ([20, 12], 2)]);
    let info = &report.info;
    assert_eq!((info.samples, info.schema_version, info.height, info.width), (5, 3, 12, 20));
    let text = info.to_string();
    let lines = "        2  12 x 20 (height x width)\n        2  16 x 16 (height x width)\n        1  20 x 12 (height x width)\n";
    assert!(text.contains("5 of 3 channels in 3 shapes, u8") && text.contains(lines), "{text}");
    let dataset = imported(&folder);
    let order: Vec<u64> = [1, 4, 0, 3, 2].to_vec();
    for (index, place) in order.iter().enumerate() {
        assert_eq!(dataset.captions(index as u64), [format!("picture {place}")]);
        let image = &dataset.gather(&[index as u64]).unwrap()[IMAGES];
        assert_eq!(u64::from(image.bytes()[0]), *place);
    }
    assert_eq!(dataset.sample_shape(), [12, 20, 3], "of the first bucket with most pictures");
    assert_eq!(dataset.gather(&[2, 3]).unwrap()[IMAGES].shape()[..], [2, 16, 16, 3]);
    let mixed = dataset.gather(&[1, 2]).unwrap_err().to_string();
    assert!(mixed.contains("sample 2 is of [16, 16, 3]") && mixed.contains("[12, 20, 3]"), "{mixed}");
    let cached = Dataset::open(target(&folder), Verify::No).unwrap().cached(1 << 20).unwrap();
    assert!(cached.is_cached());
    assert_eq!(cached.gather(&[4]).unwrap(), dataset.gather(&[4]).unwrap());
}

#[test]
fn one_shape_alone_is_a_dataset_as_ever() {
    let folder = set(&[[30, 30], [31, 30]]);
    let report = import_into(&folder, &[folder.path().join("set")], &options()).unwrap();
    assert_eq!((report.info.schema_version, report.info.buckets.len()), (2, 1));
    assert_eq!(report.shapes, [([12, 20], 0), ([16, 16], 2), ([20, 12], 0)]);
    let file = hdf5_metno::File::open(target(&folder)).unwrap();
    assert_eq!(file.dataset(IMAGES).unwrap().shape(), [2, 16, 16, 3]);
}

#[test]
fn aspect_ratios_that_no_bucket_takes_are_named_or_skipped() {
    let folder = set(&[[30, 30], [90, 20], [40, 20]]);
    let from = [folder.path().join("set")];
    let message = import_into(&folder, &from, &options()).unwrap_err().to_string();
    assert!(
        message.starts_with("picture '001.png': it has 90 x 20 pixels: of all buckets 20 x 12 fits best"),
        "{message}"
    );
    assert!(!target(&folder).exists());
    let report = import_into(&folder, &from, &PictureOptions { skip_damaged: true, ..options() }).unwrap();
    assert_eq!((report.info.samples, report.skipped.len()), (2, 1));
    let dataset = imported(&folder);
    assert_eq!([dataset.captions(0), dataset.captions(1)], [["picture 2"], ["picture 0"]]);
}

#[test]
fn an_import_into_shapes_goes_on_where_it_was() {
    let sizes: Vec<[u32; 2]> = (0..150).map(|i| if i % 3 == 0 { [40, 20] } else { [16, 16] }).collect();
    let folder = set(&sizes);
    let broken = folder.path().join("set/140.png");
    let whole = fs::read(&broken).unwrap();
    fs::write(&broken, "").unwrap();
    let from = [folder.path().join("set")];
    import_into(&folder, &from, &options()).unwrap_err();
    // What was done is not read again; what was written after the note is dropped.
    fs::write(folder.path().join("set/000.png"), "").unwrap();
    fs::write(&broken, whole).unwrap();
    let spooled = folder.path().join("d.h5.importing/pixels-20x12");
    let mut bytes = fs::read(&spooled).unwrap();
    assert_eq!(bytes.len(), 47 * 20 * 12 * 3);
    bytes.extend([9; 100]);
    fs::write(&spooled, bytes).unwrap();
    assert_eq!(import_into(&folder, &from, &options()).unwrap().shapes[1..], [([16, 16], 100), ([20, 12], 50)]);
    let dataset = imported(&folder);
    for index in 0..150u64 {
        let place = if index < 50 { 3 * index } else { (index - 50) / 2 * 3 + 1 + index % 2 };
        assert_eq!(dataset.captions(index), [format!("picture {place}")]);
        assert_eq!(u64::from(dataset.gather(&[index]).unwrap()[IMAGES].bytes()[0]), place);
    }
}

#[test]
fn groups_of_arrays_are_checked_as_one_array_is() {
    let folder = folder();
    let write = |arrays: &[(&str, &[usize])], labels: usize| {
        let file = hdf5_metno::File::create(target(&folder)).unwrap();
        file.create_group("images").unwrap();
        for (name, shape) in arrays {
            let values = vec![1u8; shape.iter().product()];
            let stored = file.new_dataset::<u8>().shape(*shape).create(format!("images/{name}").as_str()).unwrap();
            stored.write_raw(&values).unwrap();
        }
        file.new_dataset::<i32>().shape(labels).create("labels").unwrap().write_raw(&vec![0; labels]).unwrap();
    };
    write(&[("wide", &[2, 4, 8, 3]), ("tall", &[3, 8, 4, 3])], 5);
    let dataset = Dataset::open(target(&folder), Verify::Yes).unwrap();
    assert_eq!(dataset.buckets().all()[0].shape, [8, 4, 3], "by name");
    assert_eq!((dataset.len(), dataset.classes()), (5, 1));
    drop(dataset);
    write(&[("wide", &[2, 4, 8, 3]), ("tall", &[3, 8, 4, 1])], 5);
    assert!(message(target(&folder), Verify::Yes).contains("'images/wide' holds u8 of 3 channels"));
    write(&[("wide", &[2, 4, 8, 3]), ("tall", &[3, 8])], 5);
    assert!(message(target(&folder), Verify::Yes).contains("'images/tall' is uint8 [3, 8]"));
    write(&[("wide", &[2, 4, 8, 3])], 5);
    assert!(message(target(&folder), Verify::Yes).contains("2 images but 5 labels"));
    write(&[], 5);
    assert!(message(target(&folder), Verify::Yes).contains("'images' is an empty group"));
}

#[test]
fn damage_is_told_by_the_array() {
    let folder = set(&[[30, 30], [40, 20]]);
    import_into(&folder, &[folder.path().join("set")], &options()).unwrap();
    let file = hdf5_metno::File::open_rw(target(&folder)).unwrap();
    file.dataset("images/16x16").unwrap().write_raw(&[7u8; 768]).unwrap();
    file.close().unwrap();
    let message = message(target(&folder), Verify::Yes);
    assert!(message.contains("damaged: dataset 'images/16x16' has checksum"), "{message}");
}
