//! Dimensions of a tensor.

use std::{fmt, ops::Deref};

/// The sizes of a tensor's dims, outermost first (row-major). A scalar has none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// The shape of a scalar.
    pub fn scalar() -> Self {
        Shape(Vec::new())
    }

    /// How many dims there are.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// How many elements a tensor of this shape holds.
    pub fn elements(&self) -> usize {
        self.0.iter().product()
    }

    /// The sizes, outermost first.
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// The shape that both operands stretch to by NumPy's rule (trailing dims aligned, size 1 repeats), if any.
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        let rank = self.rank().max(other.rank());
        let padded = |shape: &Shape, dim: usize| (dim + shape.rank()).checked_sub(rank).map_or(1, |i| shape.0[i]);
        (0..rank)
            .map(|dim| match (padded(self, dim), padded(other, dim)) {
                (a, b) if a == b || b == 1 => Some(a),
                (1, b) => Some(b),
                _ => None,
            })
            .collect::<Option<Vec<_>>>()
            .map(Shape)
    }
}

impl Deref for Shape {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Self {
        shape.clone()
    }
}

impl From<Vec<usize>> for Shape {
    fn from(dims: Vec<usize>) -> Self {
        Shape(dims)
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Self {
        Shape(dims.to_vec())
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Shape(dims.to_vec())
    }
}

impl FromIterator<usize> for Shape {
    fn from_iter<I: IntoIterator<Item = usize>>(dims: I) -> Self {
        Shape(dims.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn broadcast_follows_numpy() {
        let stretch = |a: &[usize], b: &[usize]| Shape::from(a).broadcast(&Shape::from(b));
        assert_eq!(stretch(&[2, 1, 3], &[4, 1]), Some(Shape::from([2, 4, 3])));
        assert_eq!(stretch(&[], &[4, 1]), Some(Shape::from([4, 1])));
        assert_eq!(stretch(&[2, 3], &[2, 4]), None);
    }

    proptest! {
        #[test]
        fn broadcast_commutes_and_keeps_equal_shapes(dims in prop::collection::vec(1usize..5, 0..4), ones in any::<[bool; 4]>()) {
            let full = Shape::from(dims.clone());
            let thin: Shape = dims.iter().zip(ones).map(|(&d, one)| if one { 1 } else { d }).collect();
            prop_assert_eq!(full.broadcast(&thin), Some(full.clone()));
            prop_assert_eq!(thin.broadcast(&full), Some(full));
        }
    }
}
