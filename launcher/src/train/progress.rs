//! How far the training is: a bar on a terminal, plain lines elsewhere.

use std::{
    io::{IsTerminal, stderr},
    time::Instant,
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{metrics::StepMetrics};
use twinflow_runtime::{console::say};

/// Shows progress on standard error; silent on ranks other than 0.
pub struct Progress {
    bar: Option<ProgressBar>,
    silent: bool,
    log_every: u64,
    last_step: u64,
    started: Instant,
    first_step: u64,
}

impl Progress {
    /// Progress from `first_step` to `last_step`, with a line every `log_every` steps where there is no terminal.
    pub fn new(first_step: u64, last_step: u64, log_every: u64, silent: bool) -> Self {
        let bar = (!silent && stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {msg} ({eta} left)");
            let bar = ProgressBar::new(last_step).with_position(first_step);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.reset_eta();
            bar
        });
        Progress { bar, silent, log_every: log_every.max(1), last_step, started: Instant::now(), first_step }
    }

    /// A step is done.
    pub fn on_step(&self, metrics: &StepMetrics) {
        if let Some(bar) = &self.bar {
            bar.set_message(summary(metrics));
            bar.set_position(metrics.step);
        } else if !self.silent && (metrics.step.is_multiple_of(self.log_every) || metrics.step == self.last_step) {
            let done = metrics.step.saturating_sub(self.first_step).max(1);
            let left = self.last_step.saturating_sub(metrics.step);
            let seconds = self.started.elapsed().as_secs_f64() / done as f64 * left as f64;
            say(format!("step {}/{}  {}  {seconds:.0} s left", metrics.step, self.last_step, summary(metrics)));
        }
    }

    /// A message between the steps.
    pub fn say(&self, message: &str) {
        match &self.bar {
            _ if self.silent => {}
            Some(bar) => bar.suspend(|| say(message)),
            None => say(message),
        }
    }

    /// The training is over.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}

fn summary(metrics: &StepMetrics) -> String {
    let StepMetrics { phase, loss, grad_norm, samples_per_second, .. } = metrics;
    // Of the method's terms, those that are no part of the loss, by the last word of their names.
    let others = metrics.terms().filter(|(name, value)| !name.starts_with("loss_") && *value != 0.0);
    let others = others.map(|(name, value)| format!("  {} {value:.3}", name.rsplit('_').next().unwrap_or(name)));
    let others: String = others.collect();
    format!("{phase}  loss {loss:.4}  grad {grad_norm:.3}{others}  {samples_per_second:.0} samples/s")
}
