//! Draws the course of the loss.

use std::path::PathBuf;

use miette::Result;

use super::{Hook, StepInfo, is_due};
use crate::{metrics::{self, StepMetrics}, pictures::{Curve, draw_curves}};

/// Draws metrics.jsonl every `every` steps and at the end.
pub struct DrawCurves {
    /// metrics.jsonl
    pub metrics: PathBuf,
    /// The picture.
    pub picture: PathBuf,
    /// Steps between drawings; 0: only at the end.
    pub every: u64,
}

impl Hook for DrawCurves {
    fn on_step(&mut self, info: &StepInfo<'_>) -> Result<()> {
        if info.ending.is_none() && !is_due(info.metrics.step, self.every) {
            return Ok(());
        }
        let lines = metrics::read(&self.metrics)?;
        let curve = |name, value: fn(&StepMetrics) -> f64| {
            let points = lines.iter().filter(|line| !line.skipped).map(|line| (line.step as f64, value(line)));
            Curve { name, points: points.collect() }
        };
        let curves = [
            curve("loss", |line| line.loss),
            curve("base", |line| line.loss_base),
            curve("adversarial", |line| line.loss_adversarial),
            curve("rectify", |line| line.loss_rectify),
            curve("self-play gap", |line| line.self_play_gap),
        ];
        Ok(draw_curves(&self.picture, "loss and its terms", &curves)?)
    }
}
