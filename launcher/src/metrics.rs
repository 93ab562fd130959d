//! metrics.jsonl: one line per training step.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
};

use miette::Diagnostic;
use serde::{Deserialize, Serialize};

use crate::said::advice;

/// What one training step showed. Every line of metrics.jsonl has every key; all numbers are finite: a term that the
/// phase does not have is 0, and so is one that was not finite in a skipped step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// Optimizer steps done, this one included: the first line has 1.
    pub step: u64,
    /// `flow` (flow matching) or `twinflow`.
    pub phase: String,
    /// The whole loss.
    pub loss: f64,
    /// Any-step term on real samples.
    pub loss_base: f64,
    /// Self-adversarial term on the model's own samples.
    pub loss_adversarial: f64,
    /// Rectification term, before its weight.
    pub loss_rectify: f64,
    /// Global norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Root mean square of v_fake - v_real per sample, before the clamp.
    pub self_play_gap: f64,
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Training samples per second over all ranks.
    pub samples_per_second: f64,
    /// Seconds from the end of the step before to the end of this one.
    pub step_seconds: f64,
    /// Seconds of it spent in MPI on rank 0.
    pub communication_seconds: f64,
    /// Whether the update was left out because loss or gradient were not finite.
    pub skipped: bool,
}

/// metrics.jsonl cannot be written or read.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum MetricsError {
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    #[diagnostic(help("{}", advice(source)))]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// Appends to metrics.jsonl.
pub struct MetricsLog {
    path: PathBuf,
    file: File,
}

impl StepMetrics {
    /// The same with 0 in place of what is not finite.
    pub fn finite(mut self) -> Self {
        for number in self.numbers_mut() {
            if !number.is_finite() {
                *number = 0.0;
            }
        }
        self
    }

    fn numbers_mut(&mut self) -> [&mut f64; 10] {
        [
            &mut self.loss,
            &mut self.loss_base,
            &mut self.loss_adversarial,
            &mut self.loss_rectify,
            &mut self.grad_norm,
            &mut self.self_play_gap,
            &mut self.learning_rate,
            &mut self.samples_per_second,
            &mut self.step_seconds,
            &mut self.communication_seconds,
        ]
    }
}

impl MetricsLog {
    /// Opens the file to go on after `step` steps: lines of later steps, which the run will make again, go away, and so
    /// does a last line that a killed job left unfinished.
    ///
    /// # Errors
    /// [`MetricsError::Io`].
    pub fn open(path: &Path, step: u64) -> Result<Self, MetricsError> {
        let kept: Vec<String> = read(path)?.iter().filter(|line| line.step <= step).map(to_line).collect();
        let fail = |action| move |source| MetricsError::Io { action, path: path.to_owned(), source };
        twinflow_files::write(path, kept.concat()).map_err(fail("write"))?;
        let file = OpenOptions::new().append(true).open(path).map_err(fail("open"))?;
        Ok(MetricsLog { path: path.to_owned(), file })
    }

    /// Adds a step, in one write: a reader sees whole lines.
    ///
    /// # Errors
    /// [`MetricsError::Io`].
    pub fn append(&mut self, metrics: &StepMetrics) -> Result<(), MetricsError> {
        let fail = |source| MetricsError::Io { action: "write", path: self.path.clone(), source };
        self.file.write_all(to_line(metrics).as_bytes()).map_err(fail)
    }
}

/// The steps in a file, in order; none if there is no file.
///
/// # Errors
/// [`MetricsError::Io`].
pub fn read(path: &Path) -> Result<Vec<StepMetrics>, MetricsError> {
    let fail = |source| MetricsError::Io { action: "read", path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fail(error)),
    };
    let lines = BufReader::new(file).lines().collect::<Result<Vec<_>, _>>().map_err(fail)?;
    Ok(lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

fn to_line(metrics: &StepMetrics) -> String {
    serde_json::to_string(metrics).expect("plain fields have a JSON form") + "\n"
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn at(step: u64) -> StepMetrics {
        StepMetrics {
            step,
            phase: "flow".into(),
            loss: 0.5,
            loss_base: 0.5,
            loss_adversarial: 0.0,
            loss_rectify: 0.0,
            grad_norm: 1.0,
            self_play_gap: 0.0,
            learning_rate: 1e-3,
            samples_per_second: 100.0,
            step_seconds: 0.1,
            communication_seconds: 0.0,
            skipped: false,
        }
    }

    #[test]
    fn resuming_leaves_one_line_per_step() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricsLog::open(&path, 0).unwrap();
        (1..=5).for_each(|step| log.append(&at(step)).unwrap());
        fs::write(&path, fs::read_to_string(&path).unwrap() + "{\"step\": 6, \"pha").unwrap();
        let mut log = MetricsLog::open(&path, 3).unwrap();
        log.append(&at(4)).unwrap();
        let steps: Vec<u64> = read(&path).unwrap().iter().map(|line| line.step).collect();
        assert_eq!(steps, [1, 2, 3, 4]);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 4);
    }

    #[test]
    fn lines_hold_finite_numbers_only() {
        let line = StepMetrics { loss: f64::NAN, grad_norm: f64::INFINITY, skipped: true, ..at(1) }.finite();
        let text = to_line(&line);
        assert!(!text.contains("null"), "{text}");
        assert_eq!((line.loss, line.grad_norm, line.loss_base), (0.0, 0.0, 0.5));
    }
}
