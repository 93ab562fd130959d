//! The nearest of many points.

use ndarray::{Array1, Array2, ArrayView2, Axis};

/// Points among which the nearest is looked for.
pub struct Points {
    /// Around the origin, so that little is lost to rounding.
    centred: Array2<f64>,
    mean: Array1<f64>,
    squares: Array1<f64>,
}

impl Points {
    /// Rows of `points`, at least one.
    pub fn new(points: &Array2<f64>) -> Self {
        let mean = points.sum_axis(Axis(0)) / points.nrows() as f64;
        let centred = points - &mean;
        let squares = centred.rows().into_iter().map(|row| row.dot(&row)).collect();
        Points { centred, mean, squares }
    }

    /// The place of the row that is nearest to each sample; the first of equally near ones.
    pub fn nearest(&self, samples: ArrayView2<'_, f64>) -> Vec<usize> {
        // |s - p|^2 = |s|^2 + |p|^2 - 2 s p, of which |s|^2 is the same for all p.
        let products = (&samples - &self.mean).dot(&self.centred.t());
        let least = |products: ndarray::ArrayView1<'_, f64>| {
            let distance = |place: usize| self.squares[place] - 2.0 * products[place];
            (1..products.len()).fold(0, |best, place| if distance(place) < distance(best) { place } else { best })
        };
        products.rows().into_iter().map(least).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn the_nearest_is_found_and_the_first_of_equal_ones() {
        let points = Points::new(&array![[100.0, 0.0], [100.0, 3.0], [104.0, 0.0], [100.0, 3.0]]);
        let samples = array![[100.5, 1.0], [100.0, 2.5], [103.0, -9.0], [f64::NAN, 0.0]];
        assert_eq!(points.nearest(samples.view()), [0, 1, 2, 0]);
    }
}
