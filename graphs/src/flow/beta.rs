//! Beta-distributed times: quantiles computed on the host, looked up in the graph.

use twinflow_array::HostArray;
use twinflow_compiler::Tensor;

/// Cells of the quantile table; between its points quantiles are interpolated linearly.
const CELLS: usize = 4096;

/// Turns uniform numbers into Beta(a, b) draws.
#[derive(Clone, Debug)]
pub struct BetaTable {
    /// Quantiles at 0, 1/CELLS, .., 1; none for Beta(1, 1), whose quantile function is the identity.
    quantiles: Option<HostArray>,
}

impl BetaTable {
    /// The table of Beta(a, b); a, b > 0.
    pub fn new(a: f64, b: f64) -> Self {
        let quantiles = (a != 1.0 || b != 1.0).then(|| {
            let values: Vec<f32> = (0..=CELLS).map(|i| beta_quantile(a, b, i as f64 / CELLS as f64) as f32).collect();
            HostArray::from_slice([CELLS + 1], &values).expect("one dim of that length")
        });
        BetaTable { quantiles }
    }

    /// The quantile of each number of `uniform`, f32 in [0, 1).
    #[track_caller]
    pub fn quantile<'t>(&self, uniform: Tensor<'t>) -> Tensor<'t> {
        let Some(quantiles) = &self.quantiles else { return uniform };
        let table = uniform.trace().constant(quantiles.clone());
        let place = uniform * CELLS as f64;
        let cell = place.floor().clamp(0.0, (CELLS - 1) as f64);
        let index = cell.convert(twinflow_array::DType::I32);
        let (low, high) = (table.take(index), table.take(index + 1.0));
        low + (high - low) * (place - cell)
    }
}

/// The number below which a Beta(a, b) draw falls with the given probability.
pub fn beta_quantile(a: f64, b: f64, probability: f64) -> f64 {
    let (mut low, mut high) = (0.0f64, 1.0f64);
    // The distribution function is monotone; 100 halvings exceed the precision of f64 near 0 as well.
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if beta_cumulative(a, b, middle) < probability { low = middle } else { high = middle }
    }
    if probability <= 0.0 { 0.0 } else { high }
}

/// The regularised incomplete beta function I_x(a, b) by its continued fraction (DLMF 8.17.22).
fn beta_cumulative(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    let front = (a * x.ln() + b * (-x).ln_1p() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b)).exp();
    // The fraction converges fast only below the mean; beyond it I_x(a, b) = 1 - I_{1-x}(b, a).
    if x < (a + 1.0) / (a + b + 2.0) {
        front * continued_fraction(a, b, x) / a
    } else {
        1.0 - front * continued_fraction(b, a, 1.0 - x) / b
    }
}

/// The continued fraction 1/(1 + d1/(1 + d2/(1 + ..))) of DLMF 8.17.22, from the front by Lentz's method.
fn continued_fraction(a: f64, b: f64, x: f64) -> f64 {
    let away_from_zero = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let (mut value, mut c, mut d) = (1.0f64, 1.0f64, 0.0f64);
    for j in 0..400 {
        let m = (j / 2) as f64;
        let coefficient = match j {
            0 => 1.0,
            _ if j % 2 == 0 => m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            _ => -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        };
        d = 1.0 / away_from_zero(1.0 + coefficient * d);
        c = away_from_zero(1.0 + coefficient / c);
        let factor = c * d;
        value *= factor;
        if j > 0 && (factor - 1.0).abs() < 1e-15 {
            break;
        }
    }
    value - 1.0
}

/// ln Gamma(x) for x > 0: Stirling's series (DLMF 5.11.1) after shifting x above 10.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    while x < 10.0 {
        shift += x.ln();
        x += 1.0;
    }
    let (inverse, square) = (1.0 / x, 1.0 / (x * x));
    let series = inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square / 1680.0)));
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series - shift
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::FRAC_PI_2;

    #[test]
    fn quantiles_match_closed_forms() {
        for p in [0.001, 0.1, 0.25, 0.5, 0.9, 0.999] {
            let close = |actual: f64, expected: f64| assert!((actual - expected).abs() < 1e-10, "{actual} {expected}");
            close(beta_quantile(1.0, 1.0, p), p);
            close(beta_quantile(3.0, 1.0, p), p.powf(1.0 / 3.0));
            close(beta_quantile(1.0, 0.7, p), 1.0 - (1.0 - p).powf(1.0 / 0.7));
            close(beta_quantile(0.5, 0.5, p), (FRAC_PI_2 * p).sin().powi(2));
            let x = beta_quantile(2.0, 2.0, p);
            close(3.0 * x * x - 2.0 * x * x * x, p);
        }
    }

    #[test]
    fn gamma_of_integers_and_halves() {
        assert!((ln_gamma(5.0) - 24f64.ln()).abs() < 1e-12);
        assert!((ln_gamma(0.5) - std::f64::consts::PI.sqrt().ln()).abs() < 1e-12);
    }
}
