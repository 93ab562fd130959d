//! metrics.jsonl: one line per training step.

mod history;
mod log;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

pub use history::History;
pub use log::{MetricsLog, read};

/// What one training step showed. Every line of metrics.jsonl has every key (but `peak_memory`); all numbers are finite:
/// a term that the phase does not have is 0, and so is one that was not finite in a skipped step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// Optimizer steps done, this one included: the first line has 1.
    pub step: u64,
    /// `flow` (flow matching) or `twinflow`.
    pub phase: String,
    /// What the step minimises, the sum of the terms named `loss_*`.
    pub loss: f64,
    /// What the method says of the step, by name and in its order. Terms named `loss_*` are weighted as they enter the
    /// sum; of TwinFlow's, `self_play_gap` is the root mean square of v_fake - v_real per sample, before the clamp.
    #[serde(flatten)]
    pub terms: IndexMap<String, f64>,
    /// Global norm of the gradient before clipping.
    pub grad_norm: f64,
    pub learning_rate: f64,
    /// Training samples per second over all ranks.
    pub samples_per_second: f64,
    /// Seconds from the end of the step before to the end of this one.
    pub step_seconds: f64,
    /// Seconds of it spent in MPI on rank 0.
    pub communication_seconds: f64,
    /// Whether the update was left out because loss or gradient were not finite.
    pub skipped: bool,
    /// The most memory that was in use on one of rank 0's devices so far, in bytes, compiling included; no key where the
    /// plugin keeps no count (CPU).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
}

impl StepMetrics {
    /// The same with 0 in place of what is not finite.
    pub fn finite(mut self) -> Self {
        let StepMetrics { loss, terms, grad_norm, learning_rate, .. } = &mut self;
        let numbers = [loss, grad_norm, learning_rate].into_iter().chain(terms.values_mut());
        numbers.filter(|number| !number.is_finite()).for_each(|number| *number = 0.0);
        self
    }

    /// Name and value of the first number that is not finite; the sum and the gradient come after what makes them.
    pub fn first_not_finite(&self) -> Option<(&str, f64)> {
        let whole = [("loss", self.loss), ("grad_norm", self.grad_norm)];
        self.terms().chain(whole).find(|(_, value)| !value.is_finite())
    }

    pub fn terms(&self) -> impl Iterator<Item = (&str, f64)> {
        self.terms.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// All numbers under the names that charts have for them: a slash groups what belongs together.
    pub fn by_tag(&self) -> impl Iterator<Item = (String, f64)> {
        let whole = [("loss/total", self.loss), ("gradient/norm", self.grad_norm)];
        let rates = [
            ("rate/learning_rate", self.learning_rate),
            ("rate/samples_per_second", self.samples_per_second),
            ("rate/step_seconds", self.step_seconds),
            ("rate/communication_seconds", self.communication_seconds),
        ];
        let own = whole.into_iter().chain(rates).map(|(tag, value)| (tag.to_owned(), value));
        own.chain(self.terms().map(|(name, value)| (tag(name), value)))
    }
}

/// `loss_base` is "loss/base", `self_play_gap` "self_play/gap".
fn tag(term: &str) -> String {
    match term.strip_prefix("loss_").map(|rest| ("loss", rest)).or_else(|| term.rsplit_once('_')) {
        Some((group, rest)) => format!("{group}/{rest}"),
        None => term.to_owned(),
    }
}

/// A tag in words: "loss/base" is "base", "rate/learning_rate" "learning rate", "self_play/gap" "self-play gap".
pub fn words(tag: &str) -> String {
    let (group, name) = tag.split_once('/').unwrap_or(("rate", tag));
    let name = name.replace('_', " ");
    if ["loss", "rate"].contains(&group) { name } else { format!("{} {name}", group.replace('_', "-")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A step of a method that has terms of which this program knows nothing.
    pub(super) fn at(step: u64) -> StepMetrics {
        let terms = [("loss_base", 0.5), ("loss_perceptual_lpips", 0.25), ("self_play_gap", 2.0), ("entropy", 3.0)];
        StepMetrics {
            step,
            phase: "flow".into(),
            loss: 0.75,
            terms: terms.map(|(name, value)| (name.to_owned(), value)).into(),
            grad_norm: 1.0,
            learning_rate: 1e-3,
            samples_per_second: 100.0,
            step_seconds: 0.1,
            communication_seconds: 0.0,
            skipped: false,
            peak_memory: None,
        }
    }

    #[test]
    fn lines_hold_finite_numbers_only() {
        let mut line = StepMetrics { loss: f64::NAN, grad_norm: f64::INFINITY, skipped: true, ..at(1) };
        line.terms["self_play_gap"] = f64::NAN;
        assert_eq!(line.first_not_finite().unwrap().0, "self_play_gap");
        let line = line.finite();
        assert!(!serde_json::to_string(&line).unwrap().contains("null"), "{line:?}");
        assert_eq!(
            (line.loss, line.grad_norm, line.terms["self_play_gap"], line.terms["entropy"]),
            (0.0, 0.0, 0.0, 3.0)
        );
        assert_eq!(line.first_not_finite(), None);
    }

    #[test]
    fn terms_are_keys_beside_the_others_and_older_files_hold_them_too() {
        let text = serde_json::to_string(&at(3)).unwrap();
        assert!(
            text.contains(r#""loss":0.75,"loss_base":0.5,"loss_perceptual_lpips":0.25,"self_play_gap":2.0"#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<StepMetrics>(&text).unwrap(), at(3));
        let on_gpu = StepMetrics { peak_memory: Some(3 << 30), ..at(3) };
        let text = serde_json::to_string(&on_gpu).unwrap();
        assert!(text.contains(r#""peak_memory":3221225472"#), "{text}");
        assert_eq!(serde_json::from_str::<StepMetrics>(&text).unwrap(), on_gpu);
        let older = r#"{"step":1,"phase":"flow","loss":0.5,"loss_base":0.5,"loss_adversarial":0.0,"loss_rectify":0.0,
            "grad_norm":1.0,"self_play_gap":0.0,"learning_rate":0.001,"samples_per_second":100.0,"step_seconds":0.1,
            "communication_seconds":0.0,"skipped":false}"#;
        let older: StepMetrics = serde_json::from_str(older).unwrap();
        let names = ["loss_base", "loss_adversarial", "loss_rectify", "self_play_gap"];
        assert_eq!(older.terms.keys().collect::<Vec<_>>(), names);
        let tags = ["loss/base", "loss/adversarial", "loss/rectify", "self_play/gap"];
        assert_eq!(names.map(tag), tags);
        assert_eq!(tags.map(words), ["base", "adversarial", "rectify", "self-play gap"]);
        assert_eq!(["loss_perceptual_lpips", "entropy"].map(tag), ["loss/perceptual_lpips", "entropy"]);
    }
}
