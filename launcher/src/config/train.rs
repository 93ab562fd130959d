//! `[train]`: how long, with what batches, and what is written on the way.

use serde::{Deserialize, Serialize};

use super::PrecisionSetting;

/// `[train]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Steps of the whole run, the flow-matching phase included.
    pub steps: u64,
    /// Samples per step over all processes, devices and micro-batches.
    pub batch_size: usize,
    /// Rounds in which a device works off its share of the batch: saves memory, costs time.
    pub micro_batches: usize,
    /// Element type of the network's products: "auto", "f32" or "bf16".
    pub precision: PrecisionSetting,
    /// Patterns of the parameters that stay as they start, such as `class_embedding` or `blocks/*/attention`: segments
    /// of a parameter's path that stand one after the other, `*` within one for any characters.
    pub freeze: Vec<String>,
    /// Decay of the moving average that is sampled from.
    pub ema_decay: f64,
    /// What to do when loss or gradient is not finite.
    pub non_finite: NonFinite,
    /// With `skip`: how many left out in a row end the run; 0: any number goes.
    pub max_skipped: u64,
    /// Steps between checkpoints; 0: only at the end.
    pub checkpoint_every: u64,
    /// How many of the newest checkpoints to keep.
    pub keep_last: usize,
    /// Keep every checkpoint whose step is a multiple of this; 0: none.
    pub keep_every: u64,
    /// Steps between pictures of samples; 0: only at the end.
    pub sample_every: u64,
    /// Steps between lines of progress where there is no terminal.
    pub log_every: u64,
}

/// What to do when loss or gradient is not finite.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NonFinite {
    /// End with an error that names step and term; the last checkpoint stays.
    #[default]
    Stop,
    /// Leave out the update and go on.
    Skip,
}

impl Default for TrainConfig {
    fn default() -> Self {
        TrainConfig {
            steps: 2000,
            batch_size: 64,
            micro_batches: 1,
            precision: PrecisionSetting::Auto,
            freeze: Vec::new(),
            ema_decay: 0.98,
            non_finite: NonFinite::Stop,
            max_skipped: 100,
            checkpoint_every: 500,
            keep_last: 2,
            keep_every: 0,
            sample_every: 500,
            log_every: 50,
        }
    }
}
