//! Curves over training steps, as PNG and as SVG.

use std::{error::Error, ops::Range};

use plotters::{
    coord::{
        Shift,
        ranged1d::{AsRangedCoord, ValueFormatter},
    },
    prelude::*,
};

use super::{Picture, PictureError, register_font};

/// A named curve: (step, value) pairs in the order of steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// How values are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// In proportion, from zero.
    Linear,
    /// By their logarithm; only positive values are shown.
    Logarithmic,
}

/// Curves that share an axis.
#[derive(Debug, Clone)]
pub struct Chart {
    pub title: String,
    pub axis: Axis,
    pub curves: Vec<Curve>,
    /// Steps at which a phase begins, shown as dashed lines.
    pub phases: Vec<f64>,
}

/// Colours that are told apart also by the colour-blind (Okabe and Ito).
const COLORS: [RGBColor; 6] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0xe6, 0x9f, 0x00),
];

impl Chart {
    /// A PNG of 900 x 480 pixels; none if there is nothing to show.
    ///
    /// # Errors
    /// [`PictureError`].
    pub fn to_png(&self) -> Result<Option<Picture>, PictureError> {
        let chart = self.shown();
        (!chart.curves.is_empty()).then(|| Picture::plotted([900, 480], |canvas| chart.draw(canvas))).transpose()
    }

    /// An `<svg>` element for a page, 640 x 280; none if there is nothing to show.
    ///
    /// # Errors
    /// [`PictureError`].
    pub fn to_svg(&self) -> Result<Option<String>, PictureError> {
        let chart = self.shown();
        if chart.curves.is_empty() {
            return Ok(None);
        }
        register_font();
        let mut svg = String::new();
        let canvas = SVGBackend::with_string(&mut svg, (640, 280)).into_drawing_area();
        chart.draw(&canvas).map_err(PictureError::draw)?;
        drop(canvas);
        // Inside a page it needs no namespace.
        Ok(Some(svg.replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1)))
    }

    /// The chart without what its axis has no place for.
    fn shown(&self) -> Self {
        let has_place = |y: f64| y.is_finite() && (y > 0.0 || self.axis == Axis::Linear);
        let mut chart = self.clone();
        chart.curves.iter_mut().for_each(|curve| curve.points.retain(|(_, y)| has_place(*y)));
        chart.curves.retain(|curve| !curve.points.is_empty());
        chart
    }

    fn draw<B>(&self, canvas: &DrawingArea<B, Shift>) -> Result<(), Box<dyn Error>>
    where
        B: DrawingBackend,
        B::ErrorType: 'static,
    {
        let values = || self.curves.iter().flat_map(|curve| &curve.points).map(|(_, y)| *y);
        let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        match self.axis {
            Axis::Logarithmic => self.draw_over(canvas, (low * 0.8..high * 1.25).log_scale()),
            Axis::Linear if high > 0.0 => self.draw_over(canvas, low.min(0.0)..high * 1.05),
            Axis::Linear => self.draw_over(canvas, low..1.0),
        }
    }

    fn draw_over<B, Y>(&self, canvas: &DrawingArea<B, Shift>, values: Y) -> Result<(), Box<dyn Error>>
    where
        B: DrawingBackend,
        B::ErrorType: 'static,
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        canvas.fill(&WHITE)?;
        let last = self.curves.iter().flat_map(|curve| &curve.points).map(|(step, _)| *step).fold(1.0, f64::max);
        let mut chart = ChartBuilder::on(canvas)
            .caption(&self.title, ("sans-serif", 16))
            .margin(10)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..last, values)?;
        let Range { start: bottom, end: top } = chart.as_coord_spec().y_spec().range();
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .y_labels(6)
            .x_desc("step")
            .x_label_formatter(&|x| number(*x))
            .y_label_formatter(&|y| number(*y))
            .draw()?;
        for step in &self.phases {
            chart.draw_series(DashedLineSeries::new([(*step, bottom), (*step, top)], 4, 3, BLACK.mix(0.5).into()))?;
        }
        for (curve, color) in self.curves.iter().zip(COLORS.iter().cycle()) {
            let line = chart.draw_series(LineSeries::new(curve.points.iter().copied(), color.stroke_width(2)))?;
            line.label(&curve.name).legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
        }
        // A curve that is alone is told by the title.
        if self.curves.len() > 1 {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::LowerLeft)
                .background_style(WHITE.mix(0.8))
                .border_style(BLACK.mix(0.3))
                .draw()?;
        }
        canvas.present()?;
        Ok(())
    }
}

/// A number with few digits: 0.002, 1500, 3e-7. Ticks of a logarithmic axis carry rounding errors, 0.7000000000000001.
fn number(number: f64) -> String {
    match number.abs() {
        0.0 => "0".to_owned(),
        small if small < 1e-4 => format!("{number:.0e}"),
        _ => format!("{}", (number * 1e6).round() / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(axis: Axis, points: Vec<(f64, f64)>) -> Chart {
        let curves =
            vec![Curve { name: "a < b".into(), points }, Curve { name: "short".into(), points: vec![(1.0, 3.0)] }];
        Chart { title: "loss & terms".into(), axis, curves, phases: vec![25.0] }
    }

    /// Places of the longest polyline, which is the curve.
    fn places(svg: &str) -> Vec<(f64, f64)> {
        let lines = svg.split("points=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        let longest = lines.max_by_key(|line| line.len()).unwrap();
        let place = |text: &str| text.split_once(',').map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap())).unwrap();
        longest.split_whitespace().map(place).collect()
    }

    #[test]
    fn curves_lie_inside_the_frame_and_what_is_not_finite_is_left_out() {
        let points = (0..50).map(|i| (f64::from(i), if i == 9 { f64::NAN } else { 10f64.powi(i % 5) }));
        let svg = chart(Axis::Logarithmic, points.collect()).to_svg().unwrap().unwrap();
        assert!(svg.contains("a &lt; b") && svg.contains("loss &amp; terms"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("http"), "{svg}");
        let places = places(&svg);
        assert_eq!(places.len(), 49);
        assert!(places.iter().all(|(x, y)| (0.0..640.0).contains(x) && (0.0..280.0).contains(y)), "{places:?}");
        assert!(places[0].1 > places[4].1, "1 lies below 10,000");
        let nothing = Curve { name: "zero".into(), points: vec![(1.0, 0.0)] };
        assert!(Chart { curves: vec![nothing], ..chart(Axis::Logarithmic, Vec::new()) }.to_svg().unwrap().is_none());
    }

    #[test]
    fn constant_curves_have_an_axis_too() {
        for (axis, value) in [(Axis::Linear, 0.0), (Axis::Linear, 3.0), (Axis::Linear, -3.0), (Axis::Logarithmic, 3.0)]
        {
            let curves = vec![Curve { name: "constant".into(), points: vec![(1.0, value), (2.0, value)] }];
            let svg = Chart { curves, ..chart(axis, Vec::new()) }.to_svg().unwrap().unwrap();
            assert!(places(&svg).len() == 2 && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn numbers_at_axes_are_short() {
        assert_eq!([0.0, 0.30000000000000004, 1500.0, 2e-7].map(number), ["0", "0.3", "1500", "2e-7"]);
    }

    #[test]
    fn a_picture_with_labels_is_drawn() {
        let picture = chart(Axis::Logarithmic, vec![(1.0, 2.0), (2.0, 0.5)]).to_png().unwrap().unwrap();
        let image = image::load_from_memory(&picture.png).unwrap().into_rgb8();
        assert_eq!((image.width(), image.height(), picture.shape), (900, 480, [480, 900, 3]));
        let colors: std::collections::BTreeSet<_> = image.pixels().map(|pixel| pixel.0).collect();
        assert!(colors.contains(&[0x00, 0x72, 0xb2]) && colors.contains(&[255; 3]));
    }
}
