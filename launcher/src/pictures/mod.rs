//! PNG files: grids of samples, points in the plane, loss curves.

mod curves;
mod grid;
mod points;

use std::path::PathBuf;

use miette::Diagnostic;

pub use curves::{Curve, draw_curves};
pub use grid::{draw_grid, to_bytes};
pub use points::draw_points;

/// A picture cannot be written.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot write the picture {}: {reason}", path.display())]
pub struct PictureError {
    path: PathBuf,
    reason: String,
}

impl PictureError {
    fn new(path: &std::path::Path, reason: impl std::fmt::Display) -> Self {
        PictureError { path: path.to_owned(), reason: reason.to_string() }
    }
}

/// Makes the font known to the plotting library, which has none of its own: compute nodes often have none either.
fn register_font() {
    use plotters::style::{FontStyle, register_font};
    // It fails only for bytes that are no font.
    let _ = register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular());
}
