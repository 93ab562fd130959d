//! Settings of the optimizer.

use serde::{Deserialize, Serialize};
use twinflow_array::ParamRules;
use twinflow_nn::{ConfigError, require};

/// `[optimizer]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// Which rule makes a step of a gradient.
    pub kind: OptimizerKind,
    /// Highest learning rate, reached at the end of the warm-up.
    pub learning_rate: f64,
    /// Decay of the first and of the second moment (AdamW, RAdam).
    pub betas: [f64; 2],
    /// Added to the root of the second moment (AdamW, RAdam).
    pub eps: f64,
    /// Weight decay: decoupled for AdamW and RAdam, added to the gradient for SGD.
    pub weight_decay: f64,
    /// Momentum of SGD.
    pub momentum: f64,
    /// Largest global norm of the gradient; longer gradients are shortened to it. 0 is off.
    pub clip_norm: f64,
    /// Course of the learning rate after the warm-up.
    pub schedule: Schedule,
    /// Steps over which the learning rate rises linearly from 0.
    pub warmup_steps: u64,
    /// Learning rate at the end of the cosine.
    pub min_learning_rate: f64,
    /// Patterns of the parameters that are not decayed, as of [`ParamRules`].
    pub no_decay: Vec<String>,
}

/// What makes a step of a gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerKind {
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019).
    #[default]
    #[serde(rename = "adamw")]
    AdamW,
    /// Rectified Adam (Liu et al. 2020), with decoupled weight decay.
    #[serde(rename = "radam")]
    RAdam,
    /// Stochastic gradient descent with momentum.
    Sgd,
}

/// Course of the learning rate after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Stays at `learning_rate`.
    #[default]
    Constant,
    /// Falls to `min_learning_rate` over the rest of `train.steps` by half a cosine.
    Cosine,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        OptimizerConfig {
            kind: OptimizerKind::AdamW,
            learning_rate: 1e-3,
            betas: [0.9, 0.99],
            eps: 1e-8,
            weight_decay: 0.0,
            momentum: 0.9,
            clip_norm: 1.0,
            schedule: Schedule::Constant,
            warmup_steps: 100,
            min_learning_rate: 0.0,
            no_decay: ["bias", "*norm", "class_embedding"].map(str::to_owned).to_vec(),
        }
    }
}

impl OptimizerConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for the first value that is not allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let not_negative = |key, value: f64| require(value >= 0.0 && value.is_finite(), key, value, "0 or more");
        not_negative("optimizer.learning_rate", self.learning_rate)?;
        not_negative("optimizer.weight_decay", self.weight_decay)?;
        not_negative("optimizer.clip_norm", self.clip_norm)?;
        not_negative("optimizer.min_learning_rate", self.min_learning_rate)?;
        let decays = self.betas.iter().all(|beta| (0.0..1.0).contains(beta));
        require(decays, "optimizer.betas", self.betas, "two numbers of 0 or more, below 1")?;
        require(self.eps > 0.0, "optimizer.eps", self.eps, "above 0")?;
        require((0.0..1.0).contains(&self.momentum), "optimizer.momentum", self.momentum, "0 or more, below 1")?;
        self.undecayed().map(drop)
    }

    /// The rules of `no_decay`: what one of them matches is not decayed.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if a pattern can match nothing.
    pub(super) fn undecayed(&self) -> Result<ParamRules<()>, ConfigError> {
        let allowed = "patterns of path segments between '/', none empty";
        let rules = ParamRules::new(self.no_decay.iter().map(|pattern| (pattern.as_str(), ())));
        let value = format!("{:?}", self.no_decay);
        rules.map_err(|_| ConfigError::Value { key: "optimizer.no_decay", value, allowed })
    }
}
