//! Curves over steps as SVG.

use std::fmt::Write;

use super::page::escape;
use crate::pictures::Curve;

/// How values are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// In proportion, from zero.
    Linear,
    /// By their logarithm; only positive values are shown.
    Logarithmic,
}

/// Curves that share an axis.
pub struct Chart {
    /// What is shown.
    pub title: &'static str,
    /// The vertical axis.
    pub axis: Axis,
    /// The curves.
    pub curves: Vec<Curve>,
    /// The step at which the TwinFlow phase begins, if it did.
    pub second_phase: Option<f64>,
}

/// Colours that are told apart also by the colour-blind (Okabe and Ito).
const COLORS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

/// Size of the picture, and where the curves lie in it.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 628.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 222.0;

impl Chart {
    /// The chart as an HTML figure; nothing if there is nothing to show.
    pub fn to_html(&self) -> String {
        let thinned = |curve: &Curve| (curve.name, curve.thinned(self.axis == Axis::Logarithmic));
        let curves: Vec<_> = self.curves.iter().map(thinned).filter(|(_, points)| !points.is_empty()).collect();
        if curves.is_empty() {
            return String::new();
        }
        let scale = Scale::around(self.axis, &curves);
        let mut svg = scale.frame();
        if let Some(step) = self.second_phase {
            let x = scale.x(step);
            let _ = write!(svg, "<line class=\"phase\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/>");
        }
        let mut legend = String::new();
        for ((name, points), color) in curves.iter().zip(COLORS.iter().cycle()) {
            let places: Vec<String> =
                points.iter().map(|(x, y)| format!("{:.1},{:.1}", scale.x(*x), scale.y(*y))).collect();
            let _ = write!(svg, "<polyline stroke=\"{color}\" points=\"{}\"/>", places.join(" "));
            let _ = write!(legend, "<span><i style=\"background:{color}\"></i>{}</span>", escape(name));
        }
        let title = escape(self.title);
        format!(
            "<figure class=\"chart\"><figcaption><b>{title}</b>{legend}</figcaption>\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">{svg}</svg></figure>\n"
        )
    }
}

/// From steps and values to places in the picture.
struct Scale {
    axis: Axis,
    last: f64,
    low: f64,
    high: f64,
}

impl Scale {
    fn around(axis: Axis, curves: &[(&str, Vec<(f64, f64)>)]) -> Self {
        let points = || curves.iter().flat_map(|(_, points)| points);
        let last = points().map(|point| point.0).fold(1.0, f64::max);
        let lowest = points().map(|point| point.1).fold(f64::INFINITY, f64::min);
        let highest = points().map(|point| point.1).fold(f64::NEG_INFINITY, f64::max);
        let (low, high) = match axis {
            Axis::Logarithmic => (lowest / 1.2, highest * 1.2),
            Axis::Linear => (lowest.min(0.0), if highest > 0.0 { highest * 1.05 } else { 1.0 }),
        };
        Scale { axis, last, low, high }
    }

    fn x(&self, step: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * step / self.last
    }

    fn y(&self, value: f64) -> f64 {
        let place = match self.axis {
            Axis::Linear => (value - self.low) / (self.high - self.low),
            Axis::Logarithmic => (value / self.low).ln() / (self.high / self.low).ln(),
        };
        BOTTOM - (BOTTOM - TOP) * place
    }

    /// Lines and numbers of both axes.
    fn frame(&self) -> String {
        let mut svg = String::new();
        let values = match self.axis {
            Axis::Linear => round_numbers(self.low, self.high, 5),
            Axis::Logarithmic => logarithmic_numbers(self.low, self.high),
        };
        for value in values {
            let y = self.y(value);
            let _ = write!(svg, "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>");
            let (x, y) = (LEFT - 6.0, y + 4.0);
            let _ = write!(svg, "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>", show(value));
        }
        for step in round_numbers(0.0, self.last, 6) {
            let (x, y) = (self.x(step), BOTTOM + 16.0);
            let _ = write!(svg, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{}</text>", show(step));
        }
        let (x, y) = ((LEFT + RIGHT) / 2.0, BOTTOM + 33.0);
        let _ = write!(svg, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">step</text>");
        svg
    }
}

/// Multiples of 1, 2 or 5 times a power of ten, about `count` of them.
fn round_numbers(low: f64, high: f64, count: usize) -> Vec<f64> {
    let rough = (high - low) / count as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * power);
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    (first..=last).map(|i| i as f64 * step).collect()
}

/// Powers of ten, over a short range 2 and 5 times them too, over a very short one round numbers.
fn logarithmic_numbers(low: f64, high: f64) -> Vec<f64> {
    let decades = (high / low).log10();
    if decades < 0.7 {
        return round_numbers(low, high, 4);
    }
    let factors: &[f64] = if decades < 2.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let every = (decades / 8.0).ceil() as i32;
    let powers = (low.log10().floor() as i32..=high.log10().ceil() as i32).filter(|power| power % every == 0);
    let numbers = powers.flat_map(|power| factors.iter().map(move |factor| factor * 10f64.powi(power)));
    numbers.filter(|number| (low..=high).contains(number)).collect()
}

/// A number with few digits: 0.002, 1500, 3e-7.
fn show(number: f64) -> String {
    match number.abs() {
        0.0 => "0".to_owned(),
        small if small < 1e-4 => format!("{number:.0e}"),
        _ => format!("{}", (number * 1e6).round() / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_numbers() {
        assert_eq!(round_numbers(0.0, 1850.0, 6), [0.0, 500.0, 1000.0, 1500.0]);
        assert_eq!(round_numbers(0.0, 0.9, 4).len(), 2);
        assert_eq!(logarithmic_numbers(0.03, 3.0), [0.05, 0.1, 0.2, 0.5, 1.0, 2.0]);
        assert_eq!(logarithmic_numbers(0.5, 700.0), [1.0, 10.0, 100.0]);
        assert_eq!([0.0, 0.30000000000000004, 1500.0, 2e-7].map(show), ["0", "0.3", "1500", "2e-7"]);
    }

    #[test]
    fn curves_lie_inside_the_frame_and_what_is_not_finite_is_left_out() {
        let points = (0..50).map(|i| (f64::from(i), if i == 9 { f64::NAN } else { 10f64.powi(i % 5) }));
        let curves = vec![Curve { name: "a < b", points: points.collect() }];
        let chart = Chart { title: "loss", axis: Axis::Logarithmic, curves, second_phase: Some(25.0) };
        let html = chart.to_html();
        assert!(html.contains("a &lt; b") && !html.contains("NaN") && html.contains("class=\"phase\""));
        let line = html.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
        let places: Vec<(f64, f64)> = line
            .split(' ')
            .map(|place| place.split_once(',').unwrap())
            .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
            .collect();
        assert_eq!(places.len(), 49);
        assert!(places.iter().all(|(x, y)| (LEFT..=RIGHT).contains(x) && (TOP..=BOTTOM).contains(y)), "{places:?}");
        let empty = Chart { curves: vec![Curve { name: "zero", points: vec![(1.0, 0.0)] }], ..chart };
        assert_eq!(empty.to_html(), "");
    }

    #[test]
    fn constant_curves_have_an_axis_too() {
        for (axis, value) in [(Axis::Linear, 0.0), (Axis::Linear, 3.0), (Axis::Logarithmic, 3.0)] {
            let curves = vec![Curve { name: "constant", points: vec![(1.0, value), (2.0, value)] }];
            let html = Chart { title: "rate", axis, curves, second_phase: None }.to_html();
            assert!(html.contains("<polyline") && !html.contains("NaN") && !html.contains("inf"), "{html}");
        }
    }
}
