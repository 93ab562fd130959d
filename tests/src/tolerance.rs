//! How closely numbers must agree, in one place.

/// A level of agreement: the largest error allowed, relative to the largest magnitude expected in the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tolerance {
    /// Bit for bit, but for the sign of zero.
    Exact,
    /// The same formula in f64 by two evaluators: a few thousand roundings.
    F64,
    /// An analytic derivative and a fourth-order central difference, both in f64.
    Derivative,
    /// The same formula in f32, and in f64 from the same inputs.
    F32,
    /// The same formula in f16 or bf16, and in f64 from the same inputs: bf16 has 8 bits, a few roundings each.
    HalfPrecision,
}

impl Tolerance {
    /// The largest relative error.
    pub fn level(self) -> f64 {
        match self {
            Tolerance::Exact => 0.0,
            Tolerance::F64 => 1e-12,
            Tolerance::Derivative => 1e-6,
            Tolerance::F32 => 2e-6,
            Tolerance::HalfPrecision => 2e-2,
        }
    }

    /// What is wrong with `actual`, if anything. Infinities must be equal; NaN never is.
    pub fn mismatch(self, actual: &[f64], expected: &[f64]) -> Option<String> {
        if actual.len() != expected.len() {
            return Some(format!("{} values, {} expected", actual.len(), expected.len()));
        }
        let scale = expected.iter().filter(|value| value.is_finite()).fold(0.0, |max: f64, value| max.max(value.abs()));
        let limit = self.level() * scale;
        let fits = |a: f64, e: f64| a == e || (a - e).abs() <= limit;
        let wrong = actual.iter().zip(expected).position(|(&a, &e)| !fits(a, e))?;
        let (a, e) = (actual[wrong], expected[wrong]);
        Some(format!("element {wrong} is {a:e}, expected {e:e} within {limit:e} ({self:?}): off by {:e}", a - e))
    }

    /// Fails the test if the values differ.
    #[track_caller]
    pub fn assert(self, actual: &[f64], expected: &[f64]) {
        if let Some(mismatch) = self.mismatch(actual, expected) {
            panic!("{mismatch}\n  actual: {actual:?}\nexpected: {expected:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_relative_to_the_largest_value() {
        assert_eq!(Tolerance::F64.mismatch(&[1e9, 1e-4], &[1e9, 2e-4]), None);
        assert!(Tolerance::F64.mismatch(&[1.0 + 1e-11], &[1.0]).unwrap().contains("element 0"));
        assert!(Tolerance::HalfPrecision.mismatch(&[1.0], &[1.0, 1.0]).is_some());
    }

    #[test]
    fn infinities_must_agree_and_nan_never_does() {
        assert_eq!(Tolerance::Exact.mismatch(&[f64::INFINITY, -0.0], &[f64::INFINITY, 0.0]), None);
        assert!(Tolerance::F32.mismatch(&[1e300], &[f64::INFINITY]).is_some());
        assert!(Tolerance::F32.mismatch(&[f64::NAN], &[f64::NAN]).is_some());
    }
}
