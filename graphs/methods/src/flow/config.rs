//! Settings of times and of sampling.

use std::fmt;

use serde::{Deserialize, Serialize};
use twinflow_nn::{ConfigError, require};

pub(crate) fn require_time_distribution(key: &'static str, value: [f64; 3]) -> Result<(), ConfigError> {
    let [a, b, scale] = value;
    let holds = a > 0.0 && b > 0.0 && a.is_finite() && b.is_finite() && scale > 0.0 && scale <= 1.0;
    require(holds, key, value, "[a, b, scale] with a, b > 0 and 0 < scale <= 1")
}

/// Which target time the sampler asks for at each call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SampleStyle {
    /// r = 0: every call looks at the end (1 or 2 calls).
    #[default]
    Few,
    /// r = the next time: average velocities over each step (4 to 8 calls).
    Any,
    /// r = t: instantaneous velocities (30 calls and more).
    Mul,
}

impl fmt::Display for SampleStyle {
    /// As settings name it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SampleStyle::Few => "few",
            SampleStyle::Any => "any",
            SampleStyle::Mul => "mul",
        })
    }
}

/// `[sample]`: how samples are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SampleConfig {
    /// Number of function evaluations: network calls per sample. Public name: `sampling_steps`.
    #[serde(alias = "sampling_steps")]
    pub nfe: usize,
    /// Target times. Public name: `sampling_style`.
    #[serde(alias = "sampling_style")]
    pub style: SampleStyle,
    /// Share of the noise that is drawn afresh after each call, 0 to 1. Public name: `stochast_ratio`.
    #[serde(alias = "stochast_ratio")]
    pub stochastic_ratio: f64,
    /// Distance of the first time from 1 and of the last time from 0, before the transform. Public name: `rfba_gap_steps`.
    #[serde(alias = "rfba_gap_steps")]
    pub gaps: [f64; 2],
    /// `[a, b, c]` of the Kumaraswamy transform of the times. Public name: `time_dist_ctrl`.
    #[serde(alias = "time_dist_ctrl")]
    pub time_transform: [f64; 3],
    /// How far estimates are extrapolated from those of the call before, from the third call on. Public name:
    /// `extrapol_ratio`.
    #[serde(alias = "extrapol_ratio")]
    pub extrapolation: f64,
    /// Heun's second-order steps of two calls each; both count in `nfe`.
    pub second_order: bool,
    /// Scale of classifier-free guidance (Ho and Salimans 2022): `v_null + g (v - v_null)`; 1: none, which saves half of
    /// each call.
    #[serde(alias = "guidance_scale")]
    pub guidance: f64,
    /// Shift s of the times towards noise, `s t / (1 + (s - 1) t)` (Esser et al. 2024, equation 23); 1: none.
    pub shift: f64,
    /// Shift by `e^mu` as well, with mu by the number of the picture's tokens.
    pub dynamic_shift: Option<DynamicShift>,
    /// The time of the last call, to which the times are stretched; 0: none. Public name: `shift_terminal`.
    #[serde(alias = "shift_terminal")]
    pub terminal: f64,
    /// Samples per class in the pictures made while training.
    pub per_class: usize,
}

/// `[sample.dynamic_shift]`: mu is linear in the number of the picture's tokens. The published values of Flux and
/// Qwen-Image are the default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DynamicShift {
    /// Two numbers of tokens. Public names: `base_image_seq_len`, `max_image_seq_len`.
    pub tokens: [usize; 2],
    /// The mu of each. Public names: `base_shift`, `max_shift`.
    pub mu: [f64; 2],
}

impl Default for DynamicShift {
    fn default() -> Self {
        DynamicShift { tokens: [256, 8192], mu: [0.5, 0.9] }
    }
}

impl DynamicShift {
    /// mu of a picture of so many tokens.
    pub fn mu(&self, tokens: usize) -> f64 {
        let [[from, to], [low, high]] = [self.tokens.map(|tokens| tokens as f64), self.mu];
        low + (high - low) * (tokens as f64 - from) / (to - from)
    }
}

impl Default for SampleConfig {
    fn default() -> Self {
        SampleConfig {
            nfe: 1,
            style: SampleStyle::Few,
            stochastic_ratio: 0.0,
            gaps: [0.0, 0.0],
            time_transform: [1.0, 1.0, 1.0],
            extrapolation: 0.0,
            second_order: false,
            guidance: 1.0,
            shift: 1.0,
            dynamic_shift: None,
            terminal: 0.0,
            per_class: 10,
        }
    }
}

impl SampleConfig {
    /// The settings that the method's authors use for a number of calls: up to 2 `few`, up to 8 `any`, above `mul`.
    pub fn for_nfe(nfe: usize) -> Self {
        let config = |style| SampleConfig { nfe, style, ..SampleConfig::default() };
        match nfe {
            0..=2 => SampleConfig { stochastic_ratio: 1.0, gaps: [0.001, 0.6], ..config(SampleStyle::Few) },
            3..=8 => SampleConfig { gaps: [0.001, 0.5], ..config(SampleStyle::Any) },
            _ => SampleConfig { gaps: [0.001, 0.0], time_transform: [1.17, 0.8, 1.1], ..config(SampleStyle::Mul) },
        }
    }

    /// The same for pictures of so many tokens, with the shift that depends on them among the fixed one.
    #[must_use]
    pub fn for_tokens(&self, tokens: usize) -> Self {
        let dynamic = self.dynamic_shift.as_ref().map_or(0.0, |shift| shift.mu(tokens));
        SampleConfig { shift: self.shift * dynamic.exp(), dynamic_shift: None, ..self.clone() }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`ConfigError`] for the first value that is not allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        require(self.nfe > 0, "sample.nfe", self.nfe, "at least 1")?;
        require(
            (0.0..=1.0).contains(&self.stochastic_ratio),
            "sample.stochastic_ratio",
            self.stochastic_ratio,
            "0 to 1",
        )?;
        let [first, last] = self.gaps;
        let holds = first >= 0.0 && last >= 0.0 && first + last < 1.0;
        require(holds, "sample.gaps", self.gaps, "[first, last], both 0 or more, together below 1")?;
        let positive = self.time_transform.iter().all(|v| *v > 0.0 && v.is_finite());
        require(positive, "sample.time_transform", self.time_transform, "[a, b, c], all above 0")?;
        require(self.extrapolation.is_finite(), "sample.extrapolation", self.extrapolation, "a finite number")?;
        require(self.guidance.is_finite(), "sample.guidance", self.guidance, "a finite number")?;
        require(self.shift > 0.0 && self.shift.is_finite(), "sample.shift", self.shift, "above 0")?;
        require((0.0..1.0).contains(&self.terminal), "sample.terminal", self.terminal, "0 or more, below 1")?;
        if let Some(DynamicShift { tokens, mu }) = &self.dynamic_shift {
            require(tokens[0] != tokens[1], "sample.dynamic_shift.tokens", tokens, "two different numbers")?;
            require(mu.iter().all(|mu| mu.is_finite()), "sample.dynamic_shift.mu", mu, "two finite numbers")?;
        }
        if self.second_order { self.validate_second_order() } else { Ok(()) }
    }

    fn validate_second_order(&self) -> Result<(), ConfigError> {
        let conflict = |second, advice| Err(ConfigError::Conflict { first: "sample.second_order", second, advice });
        if self.style != SampleStyle::Mul {
            return conflict("sample.style", "Heun's rule averages instantaneous velocities; set style = \"mul\"");
        }
        if self.stochastic_ratio != 0.0 {
            return conflict("sample.stochastic_ratio", "fresh noise ends the second order; set it to 0");
        }
        if self.extrapolation != 0.0 {
            return conflict("sample.extrapolation", "both correct the first order; set it to 0");
        }
        require(self.nfe.is_multiple_of(2), "sample.nfe", self.nfe, "even with second_order: each step takes two calls")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_style_follows_the_number_of_calls() {
        let styles = [1, 2, 4, 8, 9, 30].map(|nfe| SampleConfig::for_nfe(nfe).style);
        use SampleStyle::{Any, Few, Mul};
        assert_eq!(styles, [Few, Few, Any, Any, Mul, Mul]);
        (1..40).for_each(|nfe| SampleConfig::for_nfe(nfe).validate().unwrap());
    }
}
