//! Labels as people have them: one number per sample of any type, or one-hot rows.

use crate::{DataError, schema::MAX_CLASSES};

/// How stored rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LabelLayout {
    /// `[n]`, `[n, 1]`, `[n, 1, 1, 1]` ..
    Number,
    /// `[n, classes]`.
    OneHot(usize),
}

impl LabelLayout {
    /// The layout that a shape is read as; none for shapes that hold no labels.
    pub fn of(shape: &[usize]) -> Option<Self> {
        match shape {
            [_, rest @ ..] if rest.iter().all(|dim| *dim == 1) => Some(LabelLayout::Number),
            [_, classes] => Some(LabelLayout::OneHot(*classes)),
            _ => None,
        }
    }

    /// The labels of consecutive rows. Numbers come as f64, which is exact up to 2^53.
    ///
    /// # Errors
    /// [`DataError::LabelNumber`] and [`DataError::NotOneHot`], with `first` as the index of the first row.
    pub fn labels(self, rows: &[f64], first: usize) -> Result<Vec<i64>, DataError> {
        let number = |(row, value): (usize, &f64)| match value.fract() == 0.0 {
            true => Ok(*value as i64),
            false => Err(DataError::LabelNumber { index: first + row, value: *value }),
        };
        let one_hot = |(row, values): (usize, &[f64])| {
            let sum_of_magnitudes: f64 = values.iter().map(|value| value.abs()).sum();
            let one = values.iter().position(|value| *value == 1.0);
            let one = one.filter(|_| sum_of_magnitudes == 1.0);
            one.map(|class| class as i64).ok_or(DataError::NotOneHot { index: first + row, columns: values.len() })
        };
        match self {
            LabelLayout::Number => rows.iter().enumerate().map(number).collect(),
            LabelLayout::OneHot(columns) => rows.chunks_exact(columns).enumerate().map(one_hot).collect(),
        }
    }

    /// Classes where nobody says how many there are: the columns, or one more than the greatest label.
    pub fn classes(self, labels: &[i64]) -> usize {
        match self {
            LabelLayout::OneHot(columns) => columns,
            LabelLayout::Number => labels.iter().max().map_or(1, |label| (*label).max(0) as usize + 1),
        }
    }
}

/// Refuses numbers of classes for which there are no tables.
pub(crate) fn check_classes(classes: usize) -> Result<(), DataError> {
    match (1..=MAX_CLASSES).contains(&classes) {
        true => Ok(()),
        false => Err(DataError::Classes { classes, limit: MAX_CLASSES }),
    }
}

/// Labels as the step takes them.
///
/// # Errors
/// [`DataError::Classes`], or [`DataError::LabelRange`] for the first label that names no class.
pub(crate) fn in_range(labels: &[i64], classes: usize) -> Result<Vec<i32>, DataError> {
    check_classes(classes)?;
    let checked = labels.iter().enumerate().map(|(index, &label)| {
        let known = i32::try_from(label).ok().filter(|label| (0..classes as i32).contains(label));
        known.ok_or(DataError::LabelRange { index, label, classes })
    });
    checked.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_tell_numbers_from_one_hot_rows() {
        for shape in [&[4][..], &[4, 1], &[4, 1, 1, 1]] {
            assert_eq!(LabelLayout::of(shape), Some(LabelLayout::Number));
        }
        assert_eq!(LabelLayout::of(&[4, 3]), Some(LabelLayout::OneHot(3)));
        assert_eq!([LabelLayout::of(&[]), LabelLayout::of(&[4, 2, 2])], [None, None]);
    }

    #[test]
    fn whatever_converts_without_loss_is_taken() {
        assert_eq!(LabelLayout::Number.labels(&[2.0, -1.0, 3e9], 0).unwrap(), [2, -1, 3_000_000_000]);
        let error = LabelLayout::Number.labels(&[0.0, 1.5], 10).unwrap_err().to_string();
        assert!(error.starts_with("label 1.5 at index 11 is no whole number"), "{error}");
        assert!(LabelLayout::Number.labels(&[f64::NAN], 0).is_err());
        let three = LabelLayout::OneHot(3);
        assert_eq!(three.labels(&[0.0, 1.0, 0.0, 0.0, 0.0, 1.0], 0).unwrap(), [1, 2]);
        for row in [[0.0, 0.0, 0.0], [1.0, 1.0, 0.0], [2.0, 0.0, 0.0], [1.0, 0.5, -0.5], [1.0, 0.0, f64::NAN]] {
            let error = three.labels(&row, 7).unwrap_err().to_string();
            assert!(error.contains("label row 7") && error.contains("labels[:, 0]"), "{error}");
        }
    }

    #[test]
    fn classes_follow_from_labels() {
        assert_eq!(LabelLayout::Number.classes(&[0, 4, 2]), 5);
        assert_eq!(LabelLayout::OneHot(9).classes(&[0, 4, 2]), 9);
        assert!(in_range(&[0, 4], 4).unwrap_err().to_string().starts_with("label 4 at index 1 is out of range"));
        assert!(in_range(&[1 << 40], (1 << 40) + 1).unwrap_err().to_string().starts_with("1099511627777 classes"));
    }
}
