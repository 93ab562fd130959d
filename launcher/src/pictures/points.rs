//! Points in the plane, a colour per class.

use std::error::Error;

use plotters::{coord::Shift, prelude::*};

use super::{Picture, PictureError};

/// Half the side of the frame. It is fixed, so that the pictures of a run are comparable; the toy sets lie within -1..1.
const EXTENT: f32 = 1.6;

/// Points `[n, 2]` as a picture, coloured by label; those outside the frame are left out.
///
/// # Errors
/// [`PictureError`].
pub fn points(points: &[f32], labels: &[i32], title: &str) -> Result<Picture, PictureError> {
    Picture::plotted([480, 500], |canvas| draw(canvas, points, labels, title))
}

fn draw(
    canvas: &DrawingArea<BitMapBackend<'_>, Shift>,
    points: &[f32],
    labels: &[i32],
    title: &str,
) -> Result<(), Box<dyn Error>> {
    let extent = -EXTENT..EXTENT;
    canvas.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(canvas)
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
    canvas.present()?;
    Ok(())
}
