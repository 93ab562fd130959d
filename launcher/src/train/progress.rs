//! How far the training is: a bar on a terminal, plain lines elsewhere.

use std::{io::IsTerminal, time::Instant};

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use twinflow_runtime::console::say;

use crate::{metrics::StepMetrics, stderr_filter};

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
        let bar = if silent { None } else { bar(first_step, last_step) };
        Progress { bar, silent, log_every: log_every.max(1), last_step, started: Instant::now(), first_step }
    }

    /// A step is done; `skipped` is how many were left out so far.
    pub fn on_step(&self, metrics: &StepMetrics, skipped: u64) {
        if let Some(bar) = &self.bar {
            bar.set_message(summary(metrics, skipped));
            bar.set_position(metrics.step);
        } else if !self.silent && (metrics.step.is_multiple_of(self.log_every) || metrics.step == self.last_step) {
            let done = metrics.step.saturating_sub(self.first_step).max(1);
            let left = self.last_step.saturating_sub(metrics.step);
            let seconds = self.started.elapsed().as_secs_f64() / done as f64 * left as f64;
            say(format!(
                "step {}/{}  {}  {seconds:.0} s left",
                metrics.step,
                self.last_step,
                summary(metrics, skipped)
            ));
        }
    }

    /// A message between the steps.
    pub fn say(&self, message: &str) {
        match &self.bar {
            _ if self.silent => {}
            Some(bar) => bar.println(message),
            None => say(message),
        }
    }

    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}

/// A bar where standard error is a terminal.
fn bar(first_step: u64, last_step: u64) -> Option<ProgressBar> {
    let terminal = stderr_filter::terminal().ok().filter(IsTerminal::is_terminal)?;
    let target = ProgressDrawTarget::term(Term::read_write_pair(terminal.try_clone().ok()?, terminal), 20);
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {msg} ({eta} left)");
    let bar = ProgressBar::with_draw_target(Some(last_step), target).with_position(first_step);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.reset_eta();
    Some(bar)
}

/// Loss and gradient of a skipped step were no numbers.
fn summary(metrics: &StepMetrics, skipped: u64) -> String {
    let StepMetrics { phase, loss, grad_norm, samples_per_second, .. } = metrics;
    // Of the method's terms, those that are no part of the loss, by the last word of their names.
    let others = metrics.terms().filter(|(name, value)| !name.starts_with("loss_") && *value != 0.0);
    let others = others.map(|(name, value)| format!("  {} {value:.3}", name.rsplit('_').next().unwrap_or(name)));
    let values = match metrics.skipped {
        true => "skipped".to_owned(),
        false => format!("loss {loss:.4}  grad {grad_norm:.3}{}", others.collect::<String>()),
    };
    let skipped = if skipped > 0 { format!("  {skipped} steps skipped") } else { String::new() };
    format!("{phase}  {values}  {samples_per_second:.0} samples/s{skipped}")
}
