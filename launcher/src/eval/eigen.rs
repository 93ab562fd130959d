//! Eigenvalues of small symmetric matrices.

use ndarray::Array2;

/// Jacobi's method converges quadratically; matrices of this program's sizes need about ten sweeps.
const MOST_SWEEPS: usize = 60;

/// A symmetric matrix is the sum of `values[i] * vectors[i] vectors[i]^T`.
#[derive(Clone, Debug)]
pub struct Eigen {
    /// In no particular order.
    pub values: Vec<f64>,
    /// Orthonormal, one per row.
    pub vectors: Array2<f64>,
}

impl Eigen {
    /// Of a symmetric matrix, by Jacobi's cyclic rotations (Golub & Van Loan, section 8.5).
    pub fn of_symmetric(mut matrix: Array2<f64>) -> Self {
        let n = matrix.nrows();
        let mut vectors = Array2::eye(n);
        let negligible = f64::EPSILON.powi(2) * matrix.iter().map(|x| x * x).sum::<f64>();
        for _ in 0..MOST_SWEEPS {
            let pairs = (0..n).flat_map(|p| (p + 1..n).map(move |q| (p, q)));
            if pairs.clone().map(|at| matrix[at].powi(2)).sum::<f64>() <= negligible {
                break;
            }
            for (p, q) in pairs.filter(|_| n > 1) {
                rotate(&mut matrix, &mut vectors, p, q);
            }
        }
        Eigen { values: matrix.diag().to_vec(), vectors }
    }

    /// The square root of a positive semidefinite matrix; eigenvalues that rounding made negative count as 0.
    pub fn square_root(&self) -> Array2<f64> {
        let mut scaled = self.vectors.clone();
        for (mut row, value) in scaled.rows_mut().into_iter().zip(&self.values) {
            row *= value.max(0.0).sqrt();
        }
        self.vectors.t().dot(&scaled)
    }
}

/// Makes `matrix[p, q]` zero by a rotation of the plane of p and q.
fn rotate(matrix: &mut Array2<f64>, vectors: &mut Array2<f64>, p: usize, q: usize) {
    let off = matrix[(p, q)];
    if off == 0.0 {
        return;
    }
    let theta = (matrix[(q, q)] - matrix[(p, p)]) / (2.0 * off);
    let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    for k in 0..matrix.nrows() {
        let (a, b) = (matrix[(k, p)], matrix[(k, q)]);
        matrix[(k, p)] = cosine * a - sine * b;
        matrix[(k, q)] = sine * a + cosine * b;
    }
    for rows in [matrix, vectors] {
        for k in 0..rows.ncols() {
            let (a, b) = (rows[(p, k)], rows[(q, k)]);
            rows[(p, k)] = cosine * a - sine * b;
            rows[(q, k)] = sine * a + cosine * b;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn assert_close(a: &Array2<f64>, b: &Array2<f64>) {
        let difference = (a - b).iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
        assert!(difference < 1e-12, "{a}\n{b}");
    }

    #[test]
    fn values_of_a_known_matrix() {
        let mut values = Eigen::of_symmetric(array![[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 5.0]]).values;
        values.sort_by(f64::total_cmp);
        values.iter().zip([1.0, 3.0, 5.0]).for_each(|(a, b)| assert!((a - b).abs() < 1e-14, "{values:?}"));
        assert_eq!(Eigen::of_symmetric(Array2::zeros((3, 3))).values, [0.0; 3]);
    }

    #[test]
    fn the_square_root_squared_is_the_matrix() {
        let factor = Array2::from_shape_fn((7, 9), |(i, j)| ((i * 9 + j) as f64 * 12.9898).sin());
        let matrix = factor.dot(&factor.t());
        let root = Eigen::of_symmetric(matrix.clone()).square_root();
        assert_close(&root.dot(&root), &matrix);
        assert_close(&root, &root.t().to_owned());
    }
}
