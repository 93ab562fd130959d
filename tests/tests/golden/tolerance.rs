//! Comparison by relative L2 norm per tensor.

use twinflow_array::HostArray;

/// How near a value must be; the golden values are f32.
#[derive(Clone, Copy)]
pub enum Tolerance {
    /// Values of one or two network passes.
    Forward,
    /// Targets and gradients, where differences of nearly equal velocities are divided by small times.
    Derived,
}

impl Tolerance {
    fn relative(self) -> f64 {
        match self {
            Tolerance::Forward => 1e-5,
            Tolerance::Derived => 5e-5,
        }
    }
}

/// Panics, naming the tensor, unless `|actual - expected| <= tolerance |expected|`.
pub fn assert_near(what: &str, actual: &HostArray, expected: &HostArray, tolerance: Tolerance) {
    assert_eq!(actual.shape(), expected.shape(), "shape of {what}");
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let (actual, expected) = (actual.to_f64(), expected.to_f64());
    let size = norm(&mut expected.iter().copied());
    let error = norm(&mut actual.iter().zip(&expected).map(|(a, b)| a - b));
    // An all-zero tensor must be met exactly.
    assert!(error <= tolerance.relative() * size, "{what}: relative error {:.2e}", error / size);
}
