//! How far two sets of points are apart.

/// Energy distance (Szekely & Rizzo 2013) of two sets of points in the plane, `[n, 2]` each:
/// `2 E|X - Y| - E|X - X'| - E|Y - Y'|` over all pairs; 0 only for equal sets.
pub fn energy_distance(x: &[f32], y: &[f32]) -> f64 {
    2.0 * mean_distance(x, y) - mean_distance(x, x) - mean_distance(y, y)
}

/// The same within each class, averaged over the classes. Points of the same class must be there in both sets.
pub fn energy_distance_by_class(x: (&[f32], &[i32]), y: (&[f32], &[i32]), classes: usize) -> f64 {
    let of_class = |(points, labels): (&[f32], &[i32]), class: usize| -> Vec<f32> {
        let pairs = points.chunks_exact(2).zip(labels).filter(|(_, label)| **label as usize == class);
        pairs.flat_map(|(point, _)| point).copied().collect()
    };
    let distance = |class| energy_distance(&of_class(x, class), &of_class(y, class));
    (0..classes).map(distance).sum::<f64>() / classes as f64
}

fn mean_distance(x: &[f32], y: &[f32]) -> f64 {
    let distance = |a: &[f32], b: &[f32]| f64::from(a[0] - b[0]).hypot(f64::from(a[1] - b[1]));
    let total: f64 = x.chunks_exact(2).map(|a| y.chunks_exact(2).map(|b| distance(a, b)).sum::<f64>()).sum();
    total / ((x.len() / 2) * (y.len() / 2)) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sets_have_none_and_single_points_twice_their_distance() {
        assert_eq!(energy_distance(&[0.0, 0.0, 3.0, 4.0], &[3.0, 4.0, 0.0, 0.0]), 0.0);
        assert_eq!(energy_distance(&[0.0, 0.0], &[3.0, 4.0]), 10.0);
        // 2 (1 + 1)/2 - 0 - (0 + 2 + 2 + 0)/4.
        assert_eq!(energy_distance(&[0.0, 0.0], &[1.0, 0.0, -1.0, 0.0]), 1.0);
    }

    #[test]
    fn points_in_the_place_of_another_class_are_far() {
        let points = [0.0, 0.0, 3.0, 4.0];
        assert_eq!(energy_distance_by_class((&points, &[0, 1]), (&points, &[0, 1]), 2), 0.0);
        assert_eq!(energy_distance_by_class((&points, &[0, 1]), (&points, &[1, 0]), 2), 10.0);
    }
}
