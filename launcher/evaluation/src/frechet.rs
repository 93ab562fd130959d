//! Frechet distance between sets of features (Heusel et al. 2017, with the classifier's features).

use faer::{Mat, MatRef, Side};
use miette::{Result, miette};
use ndarray::{Array1, Array2, ArrayView2, Axis};

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
/// With `C = L L^T`, the trace of the root is the sum of the singular values of `L1^T L2`: no product of covariances is
/// made, whose small eigenvalues would be rounding errors.
///
/// # Errors
/// Features that are not finite or too large to be squared.
pub fn frechet_distance(a: &Gaussian, b: &Gaussian) -> Result<f64> {
    let shift = (&a.mean - &b.mean).mapv(|x| x * x).sum();
    let roots = factor(&a.covariance).zip(factor(&b.covariance));
    let singular = roots.and_then(|(a, b)| (a.transpose() * &b).singular_values().ok());
    let common: f64 = singular.ok_or_else(not_finite)?.iter().sum();
    let distance = shift + a.covariance.diag().sum() + b.covariance.diag().sum() - 2.0 * common;
    if distance.is_finite() { Ok(distance) } else { Err(not_finite()) }
}

fn not_finite() -> miette::Report {
    miette!(
        help = "look at the samples: a model whose training went astray makes such ones",
        "there is no Frechet distance: features of the samples are not finite, or too large to be squared"
    )
}

/// L with `L L^T` the given positive semidefinite matrix: eigenvectors times the roots of their eigenvalues. Directions
/// in which the matrix has no extent, up to rounding, become columns of zeros. None if the matrix is not finite.
fn factor(matrix: &Array2<f64>) -> Option<Mat<f64>> {
    let matrix = matrix.as_standard_layout();
    let n = matrix.nrows();
    let view = MatRef::from_row_major_slice(matrix.as_slice()?, n, n);
    let eigen = view.self_adjoint_eigen(Side::Lower).ok()?;
    let (vectors, values) = (eigen.U(), eigen.S().column_vector());
    // They ascend.
    let negligible = n as f64 * f64::EPSILON * values[n.checked_sub(1)?];
    Some(Mat::from_fn(n, n, |i, j| if values[j] > negligible { vectors[(i, j)] * values[j].sqrt() } else { 0.0 }))
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
        assert!(frechet_distance(&set, &set).unwrap().abs() < 1e-9);
    }

    #[test]
    fn a_shift_counts_its_square() {
        let (set, shift) = (features(40), array![1.0, -2.0, 0.0, 0.5, 3.0]);
        let distance = frechet_distance(&Gaussian::of(set.view()), &Gaussian::of((&set + &shift).view())).unwrap();
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
        let distance = frechet_distance(&gaussian(a.clone()), &gaussian(b.clone())).unwrap();
        assert!((distance - expected).abs() < 1e-12, "{distance} {expected}");
        assert!((distance - frechet_distance(&gaussian(b), &gaussian(a)).unwrap()).abs() < 1e-12, "symmetric");
    }

    #[test]
    fn one_sample_has_no_spread() {
        let one = Gaussian::of(array![[1.0, 2.0]].view());
        assert_eq!(frechet_distance(&one, &Gaussian::of(array![[4.0, 6.0]].view())).unwrap(), 25.0);
    }

    #[test]
    fn singular_covariances_have_the_roots_of_what_they_span() {
        // Rank one each: the trace of the root is the product of lengths and cosine, |u . v|.
        let (u, v) = (array![[1.0, 2.0, 2.0]], array![[2.0, 3.0, 6.0]]);
        let gaussian = |u: &Array2<f64>| Gaussian { mean: Array1::zeros(3), covariance: u.t().dot(u) };
        let distance = frechet_distance(&gaussian(&u), &gaussian(&v)).unwrap();
        assert!((distance - (9.0 + 49.0 - 2.0 * 20.0)).abs() < 1e-9, "{distance}");
    }

    #[test]
    fn features_that_are_not_finite_are_an_error() {
        let broken = Gaussian::of(array![[1.0, 2.0], [f64::NAN, 1.0]].view());
        let message = frechet_distance(&broken, &Gaussian::of(features(9).slice(ndarray::s![.., ..2]))).unwrap_err();
        assert!(message.to_string().contains("not finite"), "{message}");
    }

    /// Fewer samples than dims leave most of the covariance without extent. Inception's 2,048 dims, tried here, take 20
    /// seconds on one core.
    #[test]
    fn wide_features_of_few_samples_have_a_distance() {
        const DIMS: usize = 512;
        let features = |rows, scale: f64| {
            Array2::from_shape_fn((rows, DIMS), |(i, j)| ((i * DIMS + j) as f64 * 78.233).sin() * scale)
        };
        let one = Gaussian::of(features(40, 1.0).view());
        let double = Gaussian::of(features(40, 2.0).view());
        // (C 4 C)^(1/2) is 2 C: the trace is that of C + 4 C - 4 C, and the mean moves by its own length.
        let expected = one.mean.dot(&one.mean) + one.covariance.diag().sum();
        let distance = frechet_distance(&one, &double).unwrap();
        assert!((distance / expected - 1.0).abs() < 1e-9, "{distance} {expected}");
    }
}
