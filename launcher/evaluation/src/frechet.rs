//! Frechet distance between sets of features (Heusel et al. 2017, with the classifier's features).

use ndarray::{Array1, Array2, ArrayView2, Axis};

use super::factors::{cholesky, nuclear_norm};

/// Mean and covariance of a set of features.
#[derive(Clone, Debug)]
pub struct Gaussian {
    mean: Array1<f64>,
    covariance: Array2<f64>,
}

impl Gaussian {
    /// Of features `[n, d]`, n at least 1; the covariance is divided by n - 1, or 1 if n is 1.
    pub fn of(features: ArrayView2<'_, f64>) -> Self {
        let count = features.nrows() as f64;
        let mean = features.sum_axis(Axis(0)) / count;
        let centred = &features - &mean;
        let covariance = centred.t().dot(&centred) / (count - 1.0).max(1.0);
        Gaussian { mean, covariance }
    }
}

/// `|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))`: the squared Wasserstein-2 distance of two Gaussians.
///
/// With `C = L L^T`, the trace of the root is the sum of the singular values of `L1^T L2`.
pub fn frechet_distance(a: &Gaussian, b: &Gaussian) -> f64 {
    let shift = (&a.mean - &b.mean).mapv(|x| x * x).sum();
    let common = nuclear_norm(cholesky(&a.covariance).t().dot(&cholesky(&b.covariance)));
    shift + a.covariance.diag().sum() + b.covariance.diag().sum() - 2.0 * common
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn features(rows: usize) -> Array2<f64> {
        Array2::from_shape_fn((rows, 5), |(i, j)| ((i * 5 + j) as f64 * 78.233).sin() * (j + 1) as f64)
    }

    #[test]
    fn equal_sets_have_distance_zero() {
        let set = Gaussian::of(features(40).view());
        assert!(frechet_distance(&set, &set).abs() < 1e-9);
    }

    #[test]
    fn a_shift_counts_its_square() {
        let (set, shift) = (features(40), array![1.0, -2.0, 0.0, 0.5, 3.0]);
        let distance = frechet_distance(&Gaussian::of(set.view()), &Gaussian::of((&set + &shift).view()));
        assert!((distance - (1.0 + 4.0 + 0.25 + 9.0)).abs() < 1e-9, "{distance}");
    }

    #[test]
    fn covariances_that_do_not_commute_agree_with_the_formula_in_two_dims() {
        let gaussian = |covariance| Gaussian { mean: array![0.0, 0.0], covariance };
        let (a, b): (Array2<f64>, Array2<f64>) = (array![[2.0, 0.5], [0.5, 1.0]], array![[1.0, -0.3], [-0.3, 3.0]]);
        // The eigenvalues l1, l2 of A B have sqrt(l1) + sqrt(l2) = sqrt(trace + 2 sqrt(determinant)).
        let product = a.dot(&b);
        let determinant: f64 = product[(0, 0)] * product[(1, 1)] - product[(0, 1)] * product[(1, 0)];
        let expected = 3.0 + 4.0 - 2.0 * (product.diag().sum() + 2.0 * determinant.sqrt()).sqrt();
        let distance = frechet_distance(&gaussian(a.clone()), &gaussian(b.clone()));
        assert!((distance - expected).abs() < 1e-12, "{distance} {expected}");
        assert!((distance - frechet_distance(&gaussian(b), &gaussian(a))).abs() < 1e-12, "symmetric");
    }

    #[test]
    fn one_sample_has_no_spread() {
        let one = Gaussian::of(array![[1.0, 2.0]].view());
        assert_eq!(frechet_distance(&one, &Gaussian::of(array![[4.0, 6.0]].view())), 25.0);
    }
}
