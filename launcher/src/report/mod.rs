//! report.html: what a run did, in one file that any browser shows, without anything from elsewhere.

mod base64;
mod chart;
mod evaluation;
mod page;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use miette::{Diagnostic, Result};

use crate::{
    environment::Environment,
    metrics::{self, StepMetrics},
    pictures::Curve,
    run_folder::{RunFolder, RunFolderError},
};
use chart::{Axis, Chart};

/// Pictures of samples shown at most, spread over the run: more would not be looked at, and fill megabytes.
const MOST_PICTURES: usize = 12;

/// A report cannot be made.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct ReportError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// A curve's name and what it shows of a step.
type Series = (&'static str, fn(&StepMetrics) -> f64);

/// What a report is made of.
struct Material {
    /// The run folder's name.
    name: String,
    /// config.toml
    config: String,
    /// metrics.jsonl
    metrics: Vec<StepMetrics>,
    /// environment.jsonl
    environments: Vec<Environment>,
    /// Pictures of samples and what they are called, in the order of time.
    pictures: Vec<(String, Vec<u8>)>,
    /// eval.json, if there is one.
    evaluation: Option<String>,
}

/// Writes the report of the run in a folder, in place of an older one; gives its path.
///
/// # Errors
/// The folder is no run's, or a file cannot be read or written.
pub fn write(run: &Path) -> Result<PathBuf> {
    let material = Material::read(run)?;
    let path = run.join("report.html");
    twinflow_files::write(&path, page::page(&material)).map_err(|source| ReportError {
        action: "write",
        path: path.clone(),
        source,
    })?;
    Ok(path)
}

impl Material {
    fn read(run: &Path) -> Result<Self> {
        let config = RunFolder::config_in(run);
        if !config.is_file() {
            return Err(RunFolderError::NotARun { path: run.to_owned() }.into());
        }
        let read = |path: PathBuf| fs::read(&path).map_err(|source| ReportError { action: "read", path, source });
        let mut pictures = Vec::new();
        for (name, path) in chosen_pictures(&run.join("samples")) {
            pictures.push((name, read(path)?));
        }
        let full_path = run.canonicalize().unwrap_or_else(|_| run.to_owned());
        Ok(Material {
            name: full_path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned()),
            config: String::from_utf8_lossy(&read(config)?).into_owned(),
            metrics: metrics::read(&run.join("metrics.jsonl"))?,
            environments: Environment::read(&run.join("environment.jsonl")),
            pictures,
            evaluation: fs::read_to_string(run.join("eval.json")).ok(),
        })
    }

    /// The step from which on the run was in its TwinFlow phase, if it also had another.
    fn second_phase(&self) -> Option<f64> {
        let first = self.metrics.iter().position(|line| line.phase == "twinflow")?;
        (first > 0).then(|| self.metrics[first].step as f64)
    }

    fn charts(&self) -> Vec<Chart> {
        let chart = |title, axis, curves: &[Series]| {
            let curve = |&(name, value): &Series| {
                let lines = self.metrics.iter().filter(|line| !line.skipped);
                Curve { name, points: lines.map(|line| (line.step as f64, value(line))).collect() }
            };
            Chart { title, axis, curves: curves.iter().map(curve).collect(), second_phase: self.second_phase() }
        };
        let mut charts = vec![
            chart(
                "Loss and its terms",
                Axis::Logarithmic,
                &[
                    ("total", |line| line.loss),
                    ("base", |line| line.loss_base),
                    ("adversarial", |line| line.loss_adversarial),
                    ("rectify", |line| line.loss_rectify),
                ],
            ),
            chart("Self-play gap", Axis::Logarithmic, &[("v_fake - v_real", |line| line.self_play_gap)]),
            chart("Gradient norm", Axis::Logarithmic, &[("before clipping", |line| line.grad_norm)]),
            chart("Learning rate", Axis::Linear, &[("learning rate", |line| line.learning_rate)]),
            chart("Speed", Axis::Linear, &[("samples per second", |line| line.samples_per_second)]),
        ];
        if self.metrics.iter().any(|line| line.communication_seconds > 1e-4) {
            let curves: [Series; 2] =
                [("whole step", |line| line.step_seconds), ("in MPI", |line| line.communication_seconds)];
            charts.push(chart("Seconds per step", Axis::Linear, &curves));
        }
        charts
    }
}

/// `step-N.png` in order, thinned evenly with first and last kept, then the picture of single calls.
fn chosen_pictures(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let step = |path: &Path| -> Option<u64> {
        path.file_name()?.to_str()?.strip_prefix("step-")?.strip_suffix(".png")?.parse().ok()
    };
    let mut steps: Vec<(u64, PathBuf)> = entries.filter_map(|path| Some((step(&path)?, path))).collect();
    steps.sort();
    let shown = steps.len().min(MOST_PICTURES);
    let place = |i: usize| i * (steps.len() - 1) / (shown - 1).max(1);
    let places = (0..shown).map(|i| if shown == 1 { 0 } else { place(i) });
    let mut chosen: Vec<_> = places.map(|i| (format!("step {}", steps[i].0), steps[i].1.clone())).collect();
    let one_step = folder.join("one-step.png");
    if one_step.is_file() {
        chosen.push(("at the end, one network call per sample".to_owned(), one_step));
    }
    chosen
}

#[cfg(test)]
mod tests;
