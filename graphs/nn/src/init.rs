//! First values of parameters, declared as data and drawn on the host.

use std::f64::consts::TAU;

use twinflow_array::{HostArray, Leaf, ParamPath, Shape, TensorType, bits};

/// How one parameter (f32) starts. As a tree leaf it declares both the parameter's type and its first values.
#[derive(Clone, Debug, PartialEq)]
pub struct Init {
    shape: Shape,
    rule: Rule,
    /// The path whose random numbers are used, if not the parameter's own.
    drawn_as: Option<ParamPath>,
    is_fixed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    Constant(f64),
    Normal { std: f64 },
    Uniform { bound: f64 },
    PositionGrid { side: usize, width: usize, step: f64 },
}

impl Leaf for Init {}

impl Init {
    fn new(shape: impl Into<Shape>, rule: Rule) -> Self {
        Init { shape: shape.into(), rule, drawn_as: None, is_fixed: false }
    }

    /// All zero.
    pub fn zeros(shape: impl Into<Shape>) -> Self {
        Self::constant(shape, 0.0)
    }

    /// All the same value.
    pub fn constant(shape: impl Into<Shape>, value: f64) -> Self {
        Self::new(shape, Rule::Constant(value))
    }

    /// Normal with mean 0.
    pub fn normal(shape: impl Into<Shape>, std: f64) -> Self {
        Self::new(shape, Rule::Normal { std })
    }

    /// Uniform in `+-bound`.
    pub fn uniform(shape: impl Into<Shape>, bound: f64) -> Self {
        Self::new(shape, Rule::Uniform { bound })
    }

    /// Uniform in `+-sqrt(6 / (in + out))` for a weight `[in, out]` (Glorot & Bengio 2010).
    pub fn xavier_uniform(inputs: usize, outputs: usize) -> Self {
        Self::uniform([inputs, outputs], (6.0 / (inputs + outputs) as f64).sqrt())
    }

    /// Sine and cosine embedding of a square grid's positions, `[1, side * side, width]`, row by row: the first half of
    /// the channels tells the column, the second the row, each in sines, then cosines of `step` times its number.
    /// `width` is a multiple of 4.
    pub fn position_grid(side: usize, width: usize, step: f64) -> Self {
        Self::new([1, side * side, width], Rule::PositionGrid { side, width, step })
    }

    /// Stays what it is: a table that other programs keep among the parameters, but do not train.
    pub fn fixed(self) -> Self {
        Init { is_fixed: true, ..self }
    }

    /// Whether training leaves it alone.
    pub fn is_fixed(&self) -> bool {
        self.is_fixed
    }

    /// The same first values as the parameter at `path`, which must have the same rule and shape.
    pub fn copy_of(self, path: ParamPath) -> Self {
        Init { drawn_as: Some(path), ..self }
    }

    /// `depth` parameters of this kind, each with values of its own, stacked along a new first dim.
    pub fn stacked(&self, depth: usize) -> Self {
        let shape = std::iter::once(depth).chain(self.shape.iter().copied()).collect();
        Init { shape, ..self.clone() }
    }

    /// The parameter's type.
    pub fn ty(&self) -> TensorType {
        TensorType::f32(&self.shape)
    }

    /// The first values of the parameter at `path`: each element depends on the seed, the path and its own index only,
    /// so neither the order of the parameters nor the number of processes changes it.
    pub fn sample(&self, seed: u64, path: &ParamPath) -> HostArray {
        let key = bits::splitmix64(seed ^ path_hash(self.drawn_as.as_ref().unwrap_or(path)));
        let value = |i: usize| match self.rule {
            Rule::Constant(value) => value,
            Rule::Normal { std } => std * normal(key, i as u64),
            Rule::Uniform { bound } => bound * (2.0 * uniform(key, i as u64) - 1.0),
            Rule::PositionGrid { side, width, step } => wave(i / width, i % width, [side, width / 4], step),
        };
        let values: Vec<f64> = (0..self.shape.elements()).map(value).collect();
        HostArray::from_f64(self.ty(), &values).expect("as many values as the shape holds")
    }
}

/// One channel of a grid's token: see [`Init::position_grid`].
fn wave(token: usize, channel: usize, [side, quarter]: [usize; 2], step: f64) -> f64 {
    let part = channel / quarter;
    let position = if part < 2 { token % side } else { token / side };
    let frequency = 1e4f64.powf(-((channel % quarter) as f64) / quarter as f64);
    let angle = step * position as f64 * frequency;
    if part.is_multiple_of(2) { angle.sin() } else { angle.cos() }
}

/// FNV-1a over the path's text.
fn path_hash(path: &ParamPath) -> u64 {
    path.as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Uniform in (0, 1).
fn uniform(key: u64, index: u64) -> f64 {
    bits::open_unit(bits::splitmix64(key ^ bits::splitmix64(index)))
}

/// Standard normal by Box and Muller's transform.
fn normal(key: u64, index: u64) -> f64 {
    let (radius, angle) = (uniform(key, 2 * index), uniform(key, 2 * index + 1));
    (-2.0 * radius.ln()).sqrt() * (TAU * angle).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(values: &[f64]) -> (f64, f64) {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        (mean, variance)
    }

    #[test]
    fn draws_stay_what_they_are() {
        assert_eq!([uniform(3, 0), uniform(3, 4)], [0.781_499_285_280_747, 0.312_813_266_774_932_9]);
        assert_eq!([normal(3, 0), normal(3, 4)], [-0.692_326_681_324_654_6, -1.816_588_860_445_210_3]);
    }

    #[test]
    fn values_depend_on_seed_and_path() {
        let init = Init::normal([4, 4], 1.0);
        let (a, b) = (ParamPath::from("a/weight"), ParamPath::from("b/weight"));
        assert_eq!(init.sample(1, &a), init.sample(1, &a));
        assert_ne!(init.sample(1, &a), init.sample(2, &a));
        assert_ne!(init.sample(1, &a), init.sample(1, &b));
        assert_eq!(init.clone().copy_of(a.clone()).sample(1, &b), init.sample(1, &a));
    }

    #[test]
    fn distributions_have_their_moments() {
        let path = ParamPath::from("w");
        let (mean, variance) = moments(&Init::normal([200, 200], 0.02).sample(0, &path).to_f64());
        assert!(mean.abs() < 5e-4 && (variance / 4e-4 - 1.0).abs() < 0.03, "normal: {mean} {variance}");
        let uniform = Init::xavier_uniform(100, 200).sample(0, &path).to_f64();
        let (mean, variance) = moments(&uniform);
        assert!(mean.abs() < 2e-3 && (variance / (0.02 / 3.0) - 1.0).abs() < 0.03, "uniform: {mean} {variance}");
        assert!(uniform.iter().all(|v| v.abs() <= 0.02f64.sqrt()));
    }

    #[test]
    fn stacked_layers_differ() {
        let values = Init::normal([8], 1.0).stacked(2).sample(0, &ParamPath::from("blocks/*/w")).to_f64();
        assert_ne!(values[..8], values[8..]);
    }
}
