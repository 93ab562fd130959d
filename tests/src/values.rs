//! Numbers for tests: scattered, but the same in every run.

use twinflow_array::{HostArray, TensorType};

/// Values in (-1, 1) in a scrambled order; `seed` varies them.
pub fn scattered(ty: &TensorType, seed: usize) -> HostArray {
    // Multiples of the silver ratio modulo 1: as even as multiples of the golden ratio, and not correlated with those
    // that operations' samples are made of.
    let value = |i: usize| 2.0 * ((i + 1 + 101 * seed) as f64 * std::f64::consts::SQRT_2).fract() - 1.0;
    let values: Vec<f64> = (0..ty.shape.elements()).map(value).collect();
    HostArray::from_f64(ty.clone(), &values).expect("one value per element")
}

/// The sum of products.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
