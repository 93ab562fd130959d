//! Points in the plane, a colour per class.

use std::path::Path;

use plotters::prelude::*;

use super::{PictureError, register_font};

/// Half the side of the frame. It is fixed, so that the pictures of a run are comparable; the toy sets lie within -1..1.
const EXTENT: f32 = 1.6;

/// Writes points `[n, 2]` as a picture, coloured by label; those outside the frame are left out.
///
/// # Errors
/// [`PictureError`] if the file cannot be written.
pub fn draw_points(path: &Path, points: &[f32], labels: &[i32], title: &str) -> Result<(), PictureError> {
    register_font();
    draw(path, points, labels, title).map_err(|error| PictureError::new(path, error))
}

fn draw(path: &Path, points: &[f32], labels: &[i32], title: &str) -> Result<(), Box<dyn std::error::Error>> {
    let extent = -EXTENT..EXTENT;
    let root = BitMapBackend::new(path, (480, 500)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(24)
        .y_label_area_size(32)
        .build_cartesian_2d(extent.clone(), extent)?;
    chart.configure_mesh().light_line_style(TRANSPARENT).draw()?;
    let dots = points.chunks_exact(2).zip(labels).filter(|(point, _)| point.iter().all(|x| x.abs() < EXTENT));
    chart.draw_series(dots.map(|(point, label)| {
        let color = Palette99::pick(*label as usize).mix(0.7);
        Circle::new((point[0], point[1]), 2, color.filled())
    }))?;
    root.present()?;
    Ok(())
}
