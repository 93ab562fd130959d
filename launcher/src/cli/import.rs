//! Arguments of `data import`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use twinflow_data::MOST_ASPECT;

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Format of the source files
    #[arg(long, value_enum, default_value_t = ImportKind::Idx)]
    pub kind: ImportKind,
    /// Image file, gzipped or not; with --hdf5 the name of the array of images
    #[arg(long, value_name = "FILE|KEY", required_unless_present_any = ["from_debian", "pictures"])]
    pub images: Option<PathBuf>,
    /// Label file, gzipped or not; with --hdf5 the name of the array of labels
    #[arg(long, value_name = "FILE|KEY", required_unless_present_any = ["from_debian", "pictures"])]
    pub labels: Option<PathBuf>,
    /// A dataset that a Debian package installs (apt install dataset-NAME), in place of --images and --labels: its test
    /// images become OUT-test.h5 beside OUT.h5
    #[arg(long, value_enum, value_name = "NAME", conflicts_with_all = ["images", "labels"])]
    pub from_debian: Option<DebianDataset>,
    /// A folder of PNG, JPEG, WebP or GIF files with captions: in metadata.jsonl (a line {"file_name": .., "text": ..} for
    /// each), or in NAME.txt beside NAME.png (a caption per line). Or WebDataset's tar files, or a folder of them: KEY.jpg
    /// with KEY.txt or KEY.json. Or parquet files, or a folder of them: columns image and text, as Hugging Face's datasets
    /// are. An interrupted import goes on where it was
    #[arg(long, value_name = "FOLDER|FILES", num_args = 1.., conflicts_with_all = ["images", "labels", "from_debian"])]
    pub pictures: Vec<PathBuf>,
    /// The key of captions in JSON, or their column in parquet files [default: text, or else caption]
    #[arg(long, value_name = "KEY", requires = "pictures")]
    pub caption_key: Option<String>,
    /// An HDF5 file of another layout, whose arrays --images and --labels name
    #[arg(long, value_name = "FILE.h5", conflicts_with_all = ["pictures", "from_debian"])]
    pub hdf5: Option<PathBuf>,
    /// Where the channels of its images are [default: told by the shape]
    #[arg(long, value_enum, requires = "hdf5")]
    pub layout: Option<Layout>,
    /// Its values of black and white [default: 0,255 for bytes, else the first of 0,1 and -1,1 and 0,255 that holds all]
    #[arg(long, value_name = "BLACK,WHITE", requires = "hdf5", allow_hyphen_values = true, value_parser = range)]
    pub range: Option<[f64; 2]>,
    /// Side of the pictures in the dataset: the shorter side is resized to it and the middle is cut out
    #[arg(long, value_name = "R", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub resolution: u32,
    /// Shapes of several aspect ratios with areas near R x R, in place of squares: each picture gets the one that cuts
    /// off least. Training then takes every batch from one of them
    #[arg(long, requires = "pictures")]
    pub aspect_buckets: bool,
    /// What the sides of those shapes are multiples of: what the model needs, such as its patch size times 8 behind an
    /// autoencoder [default: a power of two near R / 8]
    #[arg(long, value_name = "N", requires = "aspect_buckets", value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub multiple_of: Option<u32>,
    /// The longest side of those shapes over the shortest; pictures of which no shape shows half cannot be used
    #[arg(long, value_name = "RATIO", requires = "aspect_buckets", default_value_t = 2.0, value_parser = aspect)]
    pub most_aspect: f64,
    /// What resizes pictures, with antialias as in torchvision
    #[arg(long, value_enum, default_value_t = Resample::Bilinear)]
    pub resample: Resample,
    /// Colour behind transparent pictures
    #[arg(long, value_name = "RRGGBB", default_value = "ffffff", value_parser = colour)]
    pub background: [u8; 3],
    /// Leave out and count pictures that cannot be used, in place of stopping at the first
    #[arg(long, requires = "pictures")]
    pub skip_damaged: bool,
    /// Name written into the file [default: the output's file name]
    #[arg(long)]
    pub name: Option<String>,
    /// Number of classes; labels reach from 0 to one less [default: 10; with --hdf5 as many as the labels name]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub classes: Option<u32>,
    /// The HDF5 file to write
    #[arg(long, value_name = "FILE.h5")]
    pub out: PathBuf,
}

/// Filters of `data import --pictures`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Resample {
    /// The default of torchvision
    Bilinear,
    /// Sharper
    Bicubic,
}

/// Orders of the dims of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Layout {
    /// Images, channels, height, width
    Nchw,
    /// Images, height, width, channels
    Nhwc,
}

/// Two numbers, the first below the second.
fn range(text: &str) -> Result<[f64; 2], &'static str> {
    let numbers =
        text.split_once(',').and_then(|(black, white)| Some([black.trim().parse().ok()?, white.trim().parse().ok()?]));
    let is_range = |[black, white]: &[f64; 2]| black < white && (white - black).is_finite();
    numbers.filter(is_range).ok_or("two numbers are needed, the first below the second, such as 0,255")
}

/// A ratio of at least 1.
fn aspect(text: &str) -> Result<f64, &'static str> {
    let ratio = text.parse().ok().filter(|ratio: &f64| (1.0..=MOST_ASPECT as f64).contains(ratio));
    ratio.ok_or("a number from 1 to 20 is needed")
}

/// Six hexadecimal digits as red, green and blue.
fn colour(text: &str) -> Result<[u8; 3], &'static str> {
    let number = u32::from_str_radix(text, 16).ok().filter(|_| text.len() == 6 && !text.starts_with('+'));
    let [_, rgb @ ..] = number.ok_or("six hexadecimal digits are needed, such as ffffff")?.to_be_bytes();
    Ok(rgb)
}

/// Formats that `data import` reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ImportKind {
    /// MNIST's format
    Idx,
}

/// Datasets that Debian packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DebianDataset {
    /// 60,000 pictures of clothing, 28x28, ten classes
    FashionMnist,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_ascend() {
        assert_eq!([range("0,255"), range("-1, 1.5")], [Ok([0.0, 255.0]), Ok([-1.0, 1.5])]);
        assert!(["1", "1,1", "2,1", "0,inf", "a,b", "0,1,2", "nan,1"].iter().all(|text| range(text).is_err()));
    }

    #[test]
    fn backgrounds_are_six_digits() {
        assert_eq!(colour("ff8000"), Ok([255, 128, 0]));
        assert!(["fff", "white!", "+12345", "ffffff0"].iter().all(|text| colour(text).is_err()));
    }
}
