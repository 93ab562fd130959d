//! How unlike each other the samples of a class are.

use ndarray::{Array2, ArrayView2, Axis};

/// Mean distance of two different samples of a class, over that of two different real images of the class, averaged
/// over the classes. A class of which either set has fewer than two members is left out; `None` if all are.
///
/// Features are `[n, d]`, labels of each row below `classes`.
pub fn diversity(
    samples: (ArrayView2<'_, f64>, &[i32]),
    real: (ArrayView2<'_, f64>, &[i32]),
    classes: usize,
) -> Option<f64> {
    let spread = |(features, labels): (ArrayView2<'_, f64>, &[i32]), class: usize| {
        let rows: Vec<usize> = (0..labels.len()).filter(|row| labels[*row] as usize == class).collect();
        mean_distance(&features.select(Axis(0), &rows))
    };
    let shares = (0..classes).filter_map(|class| Some(spread(samples, class)? / spread(real, class)?));
    let shares: Vec<f64> = shares.filter(|share| share.is_finite()).collect();
    (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
}

/// Mean Euclidean distance over all pairs of different rows; `None` without a pair.
pub(crate) fn mean_distance(features: &Array2<f64>) -> Option<f64> {
    let n = features.nrows();
    if n < 2 {
        return None;
    }
    // |a - b|^2 = |a|^2 + |b|^2 - 2 a b, around the mean so that little is lost to rounding.
    let centred = features - &features.mean_axis(Axis(0))?;
    let products = centred.dot(&centred.t());
    let squares = products.diag();
    let pairs = (0..n).flat_map(|i| (0..i).map(move |j| (i, j)));
    let total: f64 = pairs.map(|(i, j)| (squares[i] + squares[j] - 2.0 * products[(i, j)]).max(0.0).sqrt()).sum();
    Some(total / (n * (n - 1) / 2) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    const LABELS: [i32; 5] = [0, 0, 0, 1, 1];

    fn real() -> Array2<f64> {
        array![[0.0, 0.0], [3.0, 0.0], [0.0, 4.0], [10.0, 1.0], [10.0, 3.0]]
    }

    #[test]
    fn pairs_of_different_rows_count_once() {
        let distance = mean_distance(&real().select(Axis(0), &[0, 1, 2])).unwrap();
        assert!((distance - (3.0 + 4.0 + 5.0) / 3.0).abs() < 1e-12, "{distance}");
        assert_eq!(mean_distance(&array![[1.0, 2.0]]), None);
    }

    #[test]
    fn the_real_set_has_one_and_identical_samples_have_zero() {
        let real = real();
        let of = |samples: &Array2<f64>| diversity((samples.view(), &LABELS), (real.view(), &LABELS), 2).unwrap();
        assert!((of(&real) - 1.0).abs() < 1e-12);
        assert!((of(&(&real * 0.5)) - 0.5).abs() < 1e-12);
        assert_eq!(of(&Array2::from_elem((5, 2), 1.5)), 0.0);
    }

    #[test]
    fn classes_count_equally_and_those_without_pairs_not_at_all() {
        let real = real();
        let mut samples = real.clone();
        samples.row_mut(3).assign(&real.row(4));
        let all = (real.view(), &LABELS[..]);
        let half = diversity((samples.view(), &LABELS), all, 2).unwrap();
        assert!((half - 0.5).abs() < 1e-12, "one class of two is alike: {half}");
        let few = samples.select(Axis(0), &[0, 1, 2, 3]);
        let one = diversity((few.view(), &LABELS[..4]), all, 2).unwrap();
        assert!((one - 1.0).abs() < 1e-12, "{one}");
        assert_eq!(diversity((few.select(Axis(0), &[3]).view(), &[1]), all, 2), None);
    }
}
