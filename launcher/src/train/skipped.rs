//! Steps left out because loss or gradient were not finite: counted, and too many of them end the run.

use miette::Diagnostic;

use crate::metrics::StepMetrics;

/// Loss or gradient that is not finite, where the settings say to stop.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("step {step}: {term} is {value}; the run stops, and nothing of this step is saved")]
#[diagnostic(help(
    "{}lower optimizer.learning_rate or set optimizer.clip_norm; train.non_finite=\"skip\" leaves out such steps",
    if *.step > 1 { "resume from the last checkpoint with other settings, by --resume and --set: " } else { "" }
))]
pub struct NotFinite {
    step: u64,
    pub term: String,
    pub value: f64,
}

impl NotFinite {
    /// The first value of a step's that is not finite.
    pub fn of(metrics: &StepMetrics) -> Self {
        let (term, value) = metrics.first_not_finite().unwrap_or(("grad_norm", f64::NAN));
        NotFinite { step: metrics.step, term: term.to_owned(), value }
    }
}

/// A run that gets nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum SkippedError {
    #[error("{in_a_row} steps in a row were skipped, up to step {step}: {cause}")]
    #[diagnostic(help(
        "lower optimizer.learning_rate or set optimizer.clip_norm, and look at the data (`twinflow-xla data info`); \
         train.max_skipped is how many in a row are borne, 0 for any number"
    ))]
    TooMany { step: u64, in_a_row: u64, cause: String },
    #[error("not one of the {skipped} steps was applied: {cause}")]
    #[diagnostic(help(
        "lower optimizer.learning_rate or set optimizer.clip_norm, and look at the data (`twinflow-xla data info`)"
    ))]
    All { skipped: u64, cause: String },
}

/// Counts since the program's start.
#[derive(Debug, Default)]
pub struct Skipped {
    pub total: u64,
    in_a_row: u64,
    applied: u64,
}

impl Skipped {
    /// Counts a step; `cause` says why it was skipped, if it was.
    ///
    /// # Errors
    /// [`SkippedError`]: `most` (0: any number) in a row, or all of a run that ends with this step.
    pub fn count(&mut self, step: u64, cause: Option<String>, most: u64, ends: bool) -> Result<(), SkippedError> {
        let Some(cause) = cause else {
            self.in_a_row = 0;
            self.applied += 1;
            return Ok(());
        };
        self.total += 1;
        self.in_a_row += 1;
        match (self.in_a_row, self.total) {
            (in_a_row, _) if in_a_row == most => Err(SkippedError::TooMany { step, in_a_row, cause }),
            (_, skipped) if ends && self.applied == 0 => Err(SkippedError::All { skipped, cause }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_in_a_row_and_whole_runs_are_noticed() {
        let mut skipped = Skipped::default();
        let nan = || Some("loss is NaN".to_owned());
        assert_eq!(skipped.count(1, nan(), 2, false), Ok(()));
        assert_eq!(skipped.count(2, None, 2, false), Ok(()));
        assert_eq!(skipped.count(3, nan(), 2, false), Ok(()));
        let error = skipped.count(4, nan(), 2, false).unwrap_err();
        assert!(error.to_string().contains("step 4") && error.to_string().contains("loss is NaN"), "{error}");
        assert_eq!(skipped.total, 3);
        let mut all = Skipped::default();
        assert_eq!(all.count(1, nan(), 0, false), Ok(()));
        assert!(matches!(all.count(2, nan(), 0, true), Err(SkippedError::All { skipped: 2, .. })));
    }
}
