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
        if puruspe::betai(a, b, middle) < probability { low = middle } else { high = middle }
    }
    if probability <= 0.0 { 0.0 } else { high }
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
}
