//! Curves over training steps.

use std::path::Path;

use plotters::prelude::*;

use super::{PictureError, register_font};

/// A named curve: (step, value) pairs.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Its name in the legend.
    pub name: &'static str,
    /// Its points, by step.
    pub points: Vec<(f64, f64)>,
}

/// Points of a curve drawn at most; longer ones are averaged in blocks, which also calms the noise of single batches.
const MAX_POINTS: usize = 400;

impl Curve {
    /// The curve with blocks of neighbours averaged; only finite values are kept, for a logarithmic axis only positive
    /// ones.
    pub fn thinned(&self, logarithmic: bool) -> Vec<(f64, f64)> {
        let is_usable = |y: f64| y.is_finite() && (y > 0.0 || !logarithmic);
        let usable: Vec<_> = self.points.iter().filter(|(_, y)| is_usable(*y)).copied().collect();
        let block = usable.len().div_ceil(MAX_POINTS).max(1);
        let mean = |points: &[(f64, f64)]| {
            let n = points.len() as f64;
            (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n)
        };
        usable.chunks(block).map(mean).collect()
    }
}

/// Writes the curves into one picture with a logarithmic axis; nothing if no curve has a positive value.
///
/// # Errors
/// [`PictureError`] if the file cannot be written.
pub fn draw_curves(path: &Path, title: &str, curves: &[Curve]) -> Result<(), PictureError> {
    register_font();
    let drawn: Vec<_> =
        curves.iter().map(|curve| (curve.name, curve.thinned(true))).filter(|(_, p)| !p.is_empty()).collect();
    if drawn.is_empty() {
        return Ok(());
    }
    draw(path, title, &drawn).map_err(|error| PictureError::new(path, error))
}

fn draw(path: &Path, title: &str, curves: &[(&str, Vec<(f64, f64)>)]) -> Result<(), Box<dyn std::error::Error>> {
    let points = || curves.iter().flat_map(|(_, points)| points);
    let last = points().map(|p| p.0).fold(1.0, f64::max);
    let (low, high) = points().fold((f64::INFINITY, 0.0f64), |(low, high), p| (low.min(p.1), high.max(p.1)));
    let root = BitMapBackend::new(path, (900, 480)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..last, (low * 0.8..high * 1.25).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("step")
        // Ticks of a logarithmic axis carry rounding errors: 0.7000000000000001.
        .y_label_formatter(&|y| format!("{}", (y * 1e6).round() / 1e6))
        .draw()?;
    for (i, (name, points)) in curves.iter().enumerate() {
        let color = Palette99::pick(i).stroke_width(2);
        let line = chart.draw_series(LineSeries::new(points.iter().copied(), color))?;
        line.label(*name).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_curves_are_averaged_and_what_has_no_logarithm_is_left_out() {
        let points = (0..800).map(|i| (f64::from(i), if i == 3 { f64::NAN } else { 2.0 })).chain([(800.0, 0.0)]);
        let thinned = Curve { name: "loss", points: points.collect() }.thinned(true);
        assert_eq!(thinned.len(), 400);
        assert_eq!(thinned[0], (0.5, 2.0));
    }

    #[test]
    fn a_picture_with_labels_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("loss.png");
        let curve = Curve { name: "loss", points: vec![(1.0, 2.0), (2.0, 0.5)] };
        draw_curves(&path, "loss", &[curve]).unwrap();
        assert_eq!(image::open(&path).unwrap().width(), 900);
        assert!(draw_points_somewhere(folder.path().join("no/such/folder.png").as_path()).is_err());
    }

    fn draw_points_somewhere(path: &Path) -> Result<(), PictureError> {
        super::super::draw_points(path, &[0.0, 0.0], &[1], "points")
    }
}
