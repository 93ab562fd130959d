//! Pictures: grids of samples, pages with texts, points in the plane, charts over steps.

mod captioned;
mod chart;
mod grid;
mod points;
pub mod sample_file;

use std::{error::Error, io::Cursor, path::Path};

use image::{DynamicImage, ImageFormat, RgbImage};
use miette::Diagnostic;
use plotters::{coord::Shift, prelude::*};

pub use captioned::captioned;
pub use chart::{Axis, Chart, Curve};
pub use grid::{grid, to_bytes};
pub use points::points;

use crate::run_folder::{FileError, cannot};

/// Classes that a picture shows at most: with more it would be thousands of rows high.
pub const MOST_CLASSES: usize = 64;

/// A PNG in memory: it goes to files, to TensorBoard and into reports.
#[derive(Debug, Clone)]
pub struct Picture {
    pub png: Vec<u8>,
    /// Height, width and channels.
    pub shape: [u32; 3],
}

/// A picture without pixels, or of more than memory holds.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot draw a picture: {reason}")]
pub struct PictureError {
    reason: String,
}

impl Picture {
    fn new(image: impl Into<DynamicImage>) -> Result<Self, PictureError> {
        let image = image.into();
        let mut png = Cursor::new(Vec::new());
        image.write_to(&mut png, ImageFormat::Png).map_err(PictureError::draw)?;
        let shape = [image.height(), image.width(), image.color().channel_count().into()];
        Ok(Picture { png: png.into_inner(), shape })
    }

    /// Puts it at `path`, whole or not at all.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        twinflow_files::write(path, &self.png).map_err(cannot("write the picture", path))
    }

    /// What `draw` puts on a canvas of `[width, height]` pixels.
    fn plotted(
        [width, height]: [u32; 2],
        draw: impl FnOnce(&DrawingArea<BitMapBackend<'_>, Shift>) -> Result<(), Box<dyn Error>>,
    ) -> Result<Self, PictureError> {
        Self::plotted_over(RgbImage::new(width, height), draw)
    }

    /// What `draw` puts over pixels.
    fn plotted_over(
        mut pixels: RgbImage,
        draw: impl FnOnce(&DrawingArea<BitMapBackend<'_>, Shift>) -> Result<(), Box<dyn Error>>,
    ) -> Result<Self, PictureError> {
        register_font();
        let size = pixels.dimensions();
        let canvas = BitMapBackend::with_buffer(&mut pixels, size).into_drawing_area();
        draw(&canvas).map_err(PictureError::draw)?;
        drop(canvas);
        Self::new(pixels)
    }
}

impl PictureError {
    fn draw(reason: impl ToString) -> Self {
        PictureError { reason: reason.to_string() }
    }
}

/// `most` of the numbers below `count`, spread evenly, first and last among them; all if there are no more.
pub fn spread(count: usize, most: usize) -> impl Iterator<Item = usize> {
    let shown = count.min(most);
    (0..shown).map(move |i| if shown == count { i } else { i * (count - 1) / (shown - 1).max(1) })
}

/// The labels of a picture's rows. Data without classes have one row: the label 0 is "no class" there.
pub fn shown_classes(classes: usize) -> Vec<i32> {
    spread(classes.max(1), MOST_CLASSES).map(|class| class as i32).collect()
}

/// What to tell where a picture does not show all classes.
pub fn classes_note(classes: usize) -> Option<String> {
    (classes > MOST_CLASSES).then(|| format!("{MOST_CLASSES} of {classes} classes, spread evenly"))
}

/// Makes the font known to the plotting library, which has none of its own: compute nodes often have none either.
fn register_font() {
    use plotters::style::{FontStyle, register_font};
    // It fails only for bytes that are no font.
    let _ = register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_classes_some_are_shown_and_it_is_told() {
        assert_eq!((shown_classes(3), classes_note(3)), (vec![0, 1, 2], None));
        assert_eq!((shown_classes(0), classes_note(0)), (vec![0], None));
        assert_eq!((shown_classes(64).len(), classes_note(64)), (64, None));
        let shown = shown_classes(5000);
        assert_eq!((shown.len(), shown[0], shown[63]), (64, 0, 4999));
        let gaps: Vec<i32> = shown.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| [79, 80].contains(gap)), "{gaps:?}");
        assert_eq!(classes_note(5000).unwrap(), "64 of 5000 classes, spread evenly");
        assert_eq!(spread(7, 1).collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_told() {
        let picture = points(&[0.0, 0.0], &[1], "points").unwrap();
        assert_eq!(picture.shape, [500, 480, 3]);
        let error = picture.write(Path::new("no/such/folder.png")).unwrap_err();
        assert!(error.to_string().contains("cannot write the picture no/such/folder.png"), "{error}");
    }
}
