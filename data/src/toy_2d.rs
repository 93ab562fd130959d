//! Points in the plane: sets that a small network learns in seconds, and whose picture shows what it learnt.

use std::{
    f64::consts::{PI, TAU},
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use twinflow_array::{
    DType, HostArray,
    bits::{self, normal_pair, unit},
};

use crate::{
    DataError, Field, Source, Visit,
    counter_bits::{self, Stream},
    source::{image_fields, pixels_and_labels},
};

/// Which distribution. All lie in about `[-1, 1]^2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToyKind {
    /// Two interleaved half circles; the class is the moon.
    Moons,
    /// The dark fields of a 4 x 4 board; the class is the row.
    Checkerboard,
    /// Two arms of one and a half turns; the class is the arm.
    Spiral,
    /// Eight Gaussians on a ring; the class is the mode.
    Gaussians,
}

impl ToyKind {
    /// Every kind.
    pub const ALL: [ToyKind; 4] = [ToyKind::Moons, ToyKind::Checkerboard, ToyKind::Spiral, ToyKind::Gaussians];

    /// As configs spell it.
    pub const fn name(self) -> &'static str {
        match self {
            ToyKind::Moons => "moons",
            ToyKind::Checkerboard => "checkerboard",
            ToyKind::Spiral => "spiral",
            ToyKind::Gaussians => "gaussians",
        }
    }

    /// Number of classes.
    pub const fn classes(self) -> usize {
        match self {
            ToyKind::Moons | ToyKind::Spiral => 2,
            ToyKind::Checkerboard => 4,
            ToyKind::Gaussians => 8,
        }
    }
}

impl FromStr for ToyKind {
    type Err = DataError;

    fn from_str(name: &str) -> Result<Self, DataError> {
        let kind = ToyKind::ALL.into_iter().find(|kind| kind.name() == name);
        kind.ok_or_else(|| DataError::UnknownToy { name: name.to_owned() })
    }
}

/// Endless points of a toy distribution: samples of shape `[1, 1, 2]` (height, width, channels x and y).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toy2d {
    kind: ToyKind,
    seed: u64,
}

/// What a point is made from: a class, two uniform numbers, and two standard normals.
struct Draws {
    class: usize,
    uniform: [f64; 2],
    normal: [f64; 2],
}

impl Toy2d {
    /// The points of a kind; another seed gives other points of the same distribution.
    pub fn new(kind: ToyKind, seed: u64) -> Self {
        Toy2d { kind, seed }
    }

    /// The point and class of an index.
    pub fn point(&self, index: u64) -> ([f32; 2], i32) {
        let key = counter_bits::bits(self.seed, Stream::Toy, index);
        let [class, u, v, n, m] = std::array::from_fn(|draw| bits::absorb(key, draw as u64));
        let class = bits::below(class, self.kind.classes() as u64) as usize;
        let (normal_x, normal_y) = normal_pair(n, m);
        let draws = Draws { class, uniform: [unit(u), unit(v)], normal: [normal_x, normal_y] };
        let point = match self.kind {
            ToyKind::Moons => moons(&draws),
            ToyKind::Checkerboard => checkerboard(&draws),
            ToyKind::Spiral => spiral(&draws),
            ToyKind::Gaussians => gaussians(&draws),
        };
        (point.map(|coordinate| coordinate as f32), class as i32)
    }
}

/// The half circles of scikit-learn's `make_moons`, centred, over their half width 1.5; noise 0.03.
fn moons(draws: &Draws) -> [f64; 2] {
    let (sin, cos) = (PI * draws.uniform[0]).sin_cos();
    let [x, y] = if draws.class == 0 { [cos - 0.5, sin - 0.25] } else { [0.5 - cos, 0.25 - sin] };
    add_noise([x / 1.5, y / 1.5], draws.normal, 0.03)
}

/// Uniform over the dark fields: those whose row and column add up to an even number.
fn checkerboard(draws: &Draws) -> [f64; 2] {
    let row = draws.class as f64;
    // Two dark fields per row: the integer part of twice the first number picks one, the rest is the place inside.
    let across = 2.0 * draws.uniform[0];
    let column = 2.0 * across.floor() + row % 2.0;
    [(column + across.fract()) / 2.0 - 1.0, (row + draws.uniform[1]) / 2.0 - 1.0]
}

/// Archimedean arms from radius 0.1 to 0.95; the square root spreads the points evenly along an arm. Noise 0.02.
fn spiral(draws: &Draws) -> [f64; 2] {
    let along = draws.uniform[0].sqrt();
    let (sin, cos) = (1.5 * TAU * along + PI * draws.class as f64).sin_cos();
    let radius = 0.1 + 0.85 * along;
    add_noise([radius * cos, radius * sin], draws.normal, 0.02)
}

/// Modes at radius 0.8; standard deviation 0.05.
fn gaussians(draws: &Draws) -> [f64; 2] {
    let (sin, cos) = (TAU / 8.0 * draws.class as f64).sin_cos();
    add_noise([0.8 * cos, 0.8 * sin], draws.normal, 0.05)
}

fn add_noise([x, y]: [f64; 2], normal: [f64; 2], deviation: f64) -> [f64; 2] {
    [x + deviation * normal[0], y + deviation * normal[1]]
}

impl Source for Toy2d {
    fn fields(&self) -> Vec<Field> {
        image_fields(DType::F32, [1, 1, 2])
    }

    fn classes(&self) -> usize {
        self.kind.classes()
    }

    fn samples(&self) -> Option<u64> {
        None
    }

    fn read(&self, visits: &[Visit], fields: &mut [HostArray]) -> Result<(), DataError> {
        let (images, labels) = pixels_and_labels(fields);
        for ((&Visit { index, .. }, image), label) in visits.iter().zip(images.chunks_exact_mut(2)).zip(labels) {
            let (point, class) = self.point(index);
            image.copy_from_slice(&point);
            *label = class;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(kind: ToyKind) -> Vec<([f32; 2], i32)> {
        (0..4000).map(|index| Toy2d::new(kind, 3).point(index)).collect()
    }

    #[test]
    fn all_classes_are_equally_frequent_and_points_lie_in_the_square() {
        for kind in ToyKind::ALL {
            let points = points(kind);
            assert!(points.iter().all(|([x, y], _)| x.abs() < 1.2 && y.abs() < 1.2), "{kind:?}");
            for class in 0..kind.classes() {
                let share = points.iter().filter(|(_, label)| *label == class as i32).count() as f64 / 4000.0;
                // Five standard errors of a share of at most one half among 4,000.
                assert!((share - 1.0 / kind.classes() as f64).abs() < 0.04, "{kind:?} {class}: {share}");
            }
        }
    }

    #[test]
    fn points_lie_where_their_class_says() {
        for ([x, y], class) in points(ToyKind::Gaussians) {
            let angle = f64::from(class) * TAU / 8.0;
            let distance = (f64::from(x) - 0.8 * angle.cos()).hypot(f64::from(y) - 0.8 * angle.sin());
            assert!(distance < 5.5 * 0.05, "({x}, {y}) is no point of mode {class}");
        }
        for ([x, y], class) in points(ToyKind::Checkerboard) {
            let (column, row) = ((2.0 * (x + 1.0)).floor() as i32, (2.0 * (y + 1.0)).floor() as i32);
            assert_eq!((row, (column + row) % 2), (class, 0), "({x}, {y})");
        }
        for ([x, y], class) in points(ToyKind::Moons) {
            let side = if class == 0 { 1.0 } else { -1.0 };
            let (x, y) = (1.5 * side * f64::from(x) + 0.5, 1.5 * side * f64::from(y) + 0.25);
            assert!((x.hypot(y) - 1.0).abs() < 5.5 * 0.045, "({x}, {y}) is not on its circle");
        }
        for ([x, y], class) in points(ToyKind::Spiral) {
            let radius = f64::from(x).hypot(f64::from(y));
            let expected = 1.5 * TAU * (radius - 0.1) / 0.85 + PI * f64::from(class);
            let off = (f64::from(y).atan2(f64::from(x)) - expected + PI).rem_euclid(TAU) - PI;
            // Noise moves a point across the arm by its radial part and along the turn by its tangential part over the
            // radius; half the gap between the arms is 0.14.
            let per_radian = 0.85 / (1.5 * TAU);
            assert!(
                radius < 0.3 || (off * per_radian).abs() < 0.1 * (1.0 + per_radian / radius),
                "({x}, {y}) is off arm {class}"
            );
        }
    }

    #[test]
    fn names_are_read_back() {
        for kind in ToyKind::ALL {
            assert_eq!(kind.name().parse::<ToyKind>().unwrap(), kind);
        }
        let error = "moon".parse::<ToyKind>().unwrap_err();
        assert_eq!(error.to_string(), "unknown toy set 'moon' (known: moons, checkerboard, spiral, gaussians)");
    }
}
