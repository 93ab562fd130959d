//! Settings of the TwinFlow phase, with the public names as aliases.

use serde::{Deserialize, Serialize};
use twinflow_nn::{ConfigError, require};

use crate::flow::require_time_distribution;

/// `[twinflow]`: the losses of the TwinFlow phase (arXiv 2512.05150).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TwinFlowConfig {
    /// Which samples carry which loss.
    pub variant: Variant,
    /// Shares of the batch parts; by default a quarter each. Excludes `lambda`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shares: Option<Shares>,
    /// The share of the batch that serves the TwinFlow losses: e2e = adv = lambda/2, mul = any = (1 - lambda)/2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lambda: Option<f64>,
    /// Euler sub-steps of the RCGM target, 0 to 3; 0 is flow matching. Public name: `estimate_order`.
    #[serde(alias = "estimate_order")]
    pub order: usize,
    /// How far the target time may lie from t, 0 to 1. Public name: `consistc_ratio`.
    #[serde(alias = "consistc_ratio")]
    pub consistency_ratio: f64,
    /// Weight of the classifier-free guidance built into the target velocity. Public name: `enhanced_ratio`.
    #[serde(alias = "enhanced_ratio")]
    pub guidance: f64,
    /// Times at which the target is guided. Public name: `enhanced_range`.
    #[serde(alias = "enhanced_range")]
    pub guidance_range: [f64; 2],
    /// What guidance leads away from.
    pub guidance_against: GuidanceAgainst,
    /// Whether the range's ends belong to it; with the range [0, 1] this guides the e2e samples (t = 1) too.
    pub guidance_closed: bool,
    /// `[a, b, scale]`: times are Beta(a, b) draws times scale. Public name: `time_dist_ctrl`.
    #[serde(alias = "time_dist_ctrl")]
    pub time_distribution: [f64; 3],
    /// The distance of prediction and target. Public name: `loss_func_type`.
    #[serde(alias = "loss_func_type")]
    pub loss: LossKind,
    /// Shape of the Barron loss; below 2.
    pub barron_alpha: f64,
    /// Weight of the rectify loss. Public name: `dist_match_cof`.
    #[serde(alias = "dist_match_cof")]
    pub rectify_weight: f64,
    /// Element-wise bound of the velocity difference in the rectify loss.
    pub rectify_clamp: f64,
    /// Which parameters the targets are computed with.
    pub teacher: TeacherKind,
    /// Decay of the teacher's moving average. Public name: `ema_decay_rate`.
    #[serde(alias = "ema_decay_rate")]
    pub teacher_decay: f64,
    /// Whether the decay starts at half its value and approaches it; else it is fixed.
    pub teacher_warmup: bool,
    /// Train on the model's own one-step samples in place of the data. Public name: `use_image_free`.
    #[serde(alias = "use_image_free")]
    pub image_free: bool,
}

/// Which samples carry which loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// Each part of the batch carries its own, so that a sample is in one main pass.
    #[default]
    Parts,
    /// Every sample carries every loss, in four main passes, as in the public tutorial.
    WholeBatch,
}

/// What guidance leads away from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuidanceAgainst {
    /// The velocity of no class, which the flow-matching phase teaches.
    #[default]
    NullClass,
    /// The velocity of a class drawn at random, on average that of no class; needs no training of its own.
    RandomClass,
}

/// Shares of the four batch parts, in any unit: only their ratios count.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shares {
    /// One-step samples (t = 1, r = 0): the RCGM target and the rectify loss.
    pub e2e: f64,
    /// Multi-step samples (r near t).
    pub mul: f64,
    /// Any-step samples (r anywhere below t).
    pub any: f64,
    /// Self-adversarial samples: the model's own fakes at negative times.
    pub adv: f64,
}

impl Shares {
    /// e2e = adv = lambda/2 and mul = any = (1 - lambda)/2.
    pub fn from_lambda(lambda: f64) -> Self {
        let (twin, path) = (lambda / 2.0, (1.0 - lambda) / 2.0);
        Shares { e2e: twin, mul: path, any: path, adv: twin }
    }
}

impl Default for Shares {
    fn default() -> Self {
        Shares { e2e: 0.25, mul: 0.25, any: 0.25, adv: 0.25 }
    }
}

/// How far a prediction is from its target, per sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// Mean square, reweighted by Barron's robust loss. Public name: `barron_reweighting`.
    #[default]
    #[serde(alias = "barron_reweighting")]
    Barron,
    /// Mean square.
    L2,
}

/// Which parameters the targets are computed with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TeacherKind {
    /// A moving average of the model.
    #[default]
    Ema,
    /// The model itself (public: decay 0).
    #[serde(rename = "self")]
    Live,
    /// A copy of the model at the phase's start, for guidance; the RCGM integral uses the model itself (public: decay 1).
    Frozen,
}

impl Default for TwinFlowConfig {
    fn default() -> Self {
        TwinFlowConfig {
            variant: Variant::Parts,
            shares: None,
            lambda: None,
            order: 2,
            consistency_ratio: 1.0,
            guidance: 0.5,
            guidance_range: [0.0, 1.0],
            guidance_against: GuidanceAgainst::NullClass,
            guidance_closed: false,
            time_distribution: [1.0, 1.0, 1.0],
            loss: LossKind::Barron,
            barron_alpha: 1.0,
            rectify_weight: 0.5,
            rectify_clamp: 1.0,
            teacher: TeacherKind::Ema,
            teacher_decay: 0.99,
            teacher_warmup: true,
            image_free: false,
        }
    }
}

impl TwinFlowConfig {
    /// The shares of the batch parts, from `shares` or `lambda`; without parts, all samples are any-step samples.
    pub fn part_shares(&self) -> Shares {
        if self.variant == Variant::WholeBatch {
            return Shares { e2e: 0.0, mul: 0.0, any: 1.0, adv: 0.0 };
        }
        self.shares.or(self.lambda.map(Shares::from_lambda)).unwrap_or_default()
    }

    /// Whether base samples follow the RCGM target; else the method is flow matching with the twin's losses.
    pub fn uses_rcgm(&self) -> bool {
        self.order > 0 && self.consistency_ratio != 0.0
    }

    /// Whether the teacher's velocity takes the place of the samples' own: image-free training with a frozen teacher.
    pub fn replaces_velocity(&self) -> bool {
        self.image_free && self.teacher == TeacherKind::Frozen
    }

    /// Whether the time t lies in the guidance range (e2e samples sit at t = 1).
    pub fn guides_at(&self, t: f64) -> bool {
        let [low, high] = self.guidance_range;
        let inside = if self.guidance_closed { low <= t && t <= high } else { low < t && t < high };
        self.guidance != 0.0 && inside
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`ConfigError`] for the first value that is not allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.validate_variant()?;
        self.validate_shares()?;
        require(self.order <= 3, "twinflow.order", self.order, "0 to 3")?;
        let unit = 0.0..=1.0;
        require(
            unit.contains(&self.consistency_ratio),
            "twinflow.consistency_ratio",
            self.consistency_ratio,
            "0 to 1",
        )?;
        require(self.guidance.is_finite(), "twinflow.guidance", self.guidance, "a finite number")?;
        let taught = !self.replaces_velocity() || self.guidance != 0.0;
        let allowed = "not 0 for image_free with a frozen teacher: 1 is the teacher's own velocity, more is guided";
        require(taught, "twinflow.guidance", self.guidance, allowed)?;
        let [low, high] = self.guidance_range;
        require(low <= high, "twinflow.guidance_range", self.guidance_range, "[low, high] with low <= high")?;
        require_time_distribution("twinflow.time_distribution", self.time_distribution)?;
        let alpha = self.barron_alpha;
        require(alpha < 2.0 && alpha.is_finite(), "twinflow.barron_alpha", alpha, "below 2 (2 is loss = \"l2\")")?;
        let weight = self.rectify_weight;
        require(weight >= 0.0 && weight.is_finite(), "twinflow.rectify_weight", weight, "0 or more")?;
        require(self.rectify_clamp > 0.0, "twinflow.rectify_clamp", self.rectify_clamp, "above 0")?;
        let allowed = "0 to 1, without 1 (a fixed teacher is teacher = \"frozen\")";
        require((0.0..1.0).contains(&self.teacher_decay), "twinflow.teacher_decay", self.teacher_decay, allowed)
    }

    fn validate_variant(&self) -> Result<(), ConfigError> {
        if self.variant == Variant::WholeBatch {
            let (order, ratio) = (self.order, self.consistency_ratio);
            require(order > 0, "twinflow.order", order, "1 to 3 with variant = \"whole_batch\"")?;
            require(ratio > 0.0, "twinflow.consistency_ratio", ratio, "above 0 with variant = \"whole_batch\"")?;
            if self.shares.is_some() || self.lambda.is_some() {
                let first = if self.shares.is_some() { "twinflow.shares" } else { "twinflow.lambda" };
                let advice = "there every sample carries every loss; leave one of the two out";
                return Err(ConfigError::Conflict { first, second: "twinflow.variant = \"whole_batch\"", advice });
            }
        }
        Ok(())
    }

    fn validate_shares(&self) -> Result<(), ConfigError> {
        if self.shares.is_some() && self.lambda.is_some() {
            let advice = "lambda sets all four shares; keep one of the two";
            return Err(ConfigError::Conflict { first: "twinflow.shares", second: "twinflow.lambda", advice });
        }
        if let Some(lambda) = self.lambda {
            require((0.0..=1.0).contains(&lambda), "twinflow.lambda", lambda, "0 to 1")?;
        }
        let Shares { e2e, mul, any, adv } = self.part_shares();
        let shares = [e2e, mul, any, adv];
        let holds = shares.iter().all(|share| *share >= 0.0 && share.is_finite()) && e2e + mul + any > 0.0;
        require(holds, "twinflow.shares", shares, "0 or more each, and one of e2e, mul and any above 0")?;
        let trains = self.uses_rcgm() || mul + adv > 0.0;
        require(trains, "twinflow.shares", shares, "mul or adv above 0: at order 0 they alone carry the base loss")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lambda_sets_the_shares() {
        let config = TwinFlowConfig { lambda: Some(0.5), ..Default::default() };
        assert_eq!(config.part_shares(), Shares::default());
        let both = TwinFlowConfig { shares: Some(Shares::default()), ..config };
        assert!(matches!(both.validate(), Err(ConfigError::Conflict { .. })));
    }

    #[test]
    fn messages_name_key_value_and_what_is_allowed() {
        let config = TwinFlowConfig { order: 4, ..Default::default() };
        assert_eq!(config.validate().unwrap_err().to_string(), "twinflow.order = 4 is not allowed: 0 to 3");
    }

    #[test]
    fn closed_range_guides_the_one_step_samples() {
        let open = TwinFlowConfig::default();
        let closed = TwinFlowConfig { guidance_closed: true, ..Default::default() };
        assert!(!open.guides_at(1.0) && closed.guides_at(1.0) && open.guides_at(0.5));
    }
}
