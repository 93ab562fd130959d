//! Factors and singular values of small matrices.

use ndarray::{Array2, Axis};

/// Jacobi's method converges quadratically; matrices of this program's sizes need about ten sweeps.
const MOST_SWEEPS: usize = 60;

/// Lower triangular L with `L L^T` the given positive semidefinite matrix. Directions in which the matrix has no extent,
/// up to rounding, become columns of zeros.
pub fn cholesky(matrix: &Array2<f64>) -> Array2<f64> {
    let n = matrix.nrows();
    let negligible = n as f64 * f64::EPSILON * matrix.diag().iter().fold(0.0, |most: f64, x| most.max(*x));
    let mut factor = Array2::<f64>::zeros((n, n));
    for j in 0..n {
        let row = factor.row(j).to_owned();
        let rest = &matrix.column(j) - &factor.dot(&row);
        if rest[j] > negligible {
            let scale = 1.0 / rest[j].sqrt();
            (j..n).for_each(|i| factor[(i, j)] = rest[i] * scale);
        }
    }
    factor
}

/// The sum of the singular values, by Hestenes' one-sided Jacobi rotations: rows are turned in pairs until all are
/// orthogonal (Golub & Van Loan, section 8.6); their lengths are the singular values.
pub fn nuclear_norm(mut matrix: Array2<f64>) -> f64 {
    let n = matrix.nrows();
    // What rounding leaves of a row that depends on others is never orthogonal to them.
    let negligible = f64::EPSILON * matrix.iter().map(|x| x * x).sum::<f64>();
    for _ in 0..MOST_SWEEPS {
        let mut turned = false;
        for (p, q) in (0..n).flat_map(|p| (p + 1..n).map(move |q| (p, q))) {
            turned |= make_orthogonal(&mut matrix, p, q, negligible);
        }
        if !turned {
            break;
        }
    }
    matrix.rows().into_iter().map(|row| row.dot(&row).sqrt()).sum()
}

/// Turns rows p < q in their plane so that they are orthogonal; false if they were, up to rounding or a
/// negligible product.
fn make_orthogonal(matrix: &mut Array2<f64>, p: usize, q: usize, negligible: f64) -> bool {
    let (mut upper, mut lower) = matrix.view_mut().split_at(Axis(0), q);
    let (mut a, mut b) = (upper.row_mut(p), lower.row_mut(0));
    let (aa, bb, ab) = (a.dot(&a), b.dot(&b), a.dot(&b));
    if ab.abs() <= negligible.max(1e-14 * (aa * bb).sqrt()) {
        return false;
    }
    let ratio = (bb - aa) / (2.0 * ab);
    let tangent = ratio.signum() / (ratio.abs() + ratio.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    a.iter_mut().zip(&mut b).for_each(|(a, b)| (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b));
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn cholesky_factors_multiply_to_the_matrix_even_without_full_rank() {
        for columns in [9, 3] {
            let root = Array2::from_shape_fn((7, columns), |(i, j)| ((i * 9 + j) as f64 * 12.9898).sin());
            let matrix = root.dot(&root.t());
            let factor = cholesky(&matrix);
            let error = (factor.dot(&factor.t()) - &matrix).iter().fold(0.0, |most: f64, x| most.max(x.abs()));
            assert!(error < 1e-7, "rank {columns}: {error}");
            assert!((0..7).all(|i| (i + 1..7).all(|j| factor[(i, j)] == 0.0)), "lower triangular");
        }
    }

    #[test]
    fn singular_values_of_known_matrices() {
        // Eigenvalues 1, 3 and -5.
        let symmetric = array![[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, -5.0]];
        assert!((nuclear_norm(symmetric) - 9.0).abs() < 1e-12);
        // Rank one: the product of the lengths, 3 and 7.
        let outer = array![[1.0], [2.0], [2.0]].dot(&array![[2.0, 3.0, 6.0]]);
        assert!((nuclear_norm(outer) - 21.0).abs() < 1e-12);
        assert_eq!(nuclear_norm(Array2::zeros((3, 3))), 0.0);
    }
}
