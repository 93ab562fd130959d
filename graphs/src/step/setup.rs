//! A trainer: network, losses and optimizer, checked against each other.

use serde::{Deserialize, Serialize};
use twinflow_array::{DType, HostArray, TensorType, map};

use crate::{
    ConfigError, Init, Params,
    error::require,
    flow::{FlowConfig, SampleConfig},
    models::{ModelConfig, ModelInput, Network},
    optim::{Optimizer, OptimizerConfig},
    step::{Batch, Phase, State},
    twinflow::{Parts, TeacherKind, TwinFlowConfig},
};

/// Element type of the network's products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// All in f32.
    #[default]
    F32,
    /// Products of bf16 operands with f32 sums; parameters, losses and reductions stay f32.
    Bf16,
}

/// What a trainer is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct StepConfig {
    /// `[model]`.
    pub model: ModelConfig,
    /// `[flow]`.
    pub flow: FlowConfig,
    /// `[twinflow]`.
    pub twinflow: TwinFlowConfig,
    /// `[optimizer]`.
    pub optimizer: OptimizerConfig,
    /// `train.steps`: the end of the learning-rate schedule.
    pub steps: u64,
    /// `train.batch_size`: samples of all processes and devices in one step.
    pub batch_size: usize,
    /// `train.micro_batches`: rounds in which a device works off its share.
    pub micro_batches: usize,
    /// `train.precision`.
    pub precision: Precision,
    /// `train.ema_decay`: decay of the moving average that is sampled from.
    pub ema_decay: f64,
    /// Processes.
    pub processes: usize,
    /// Devices of one process.
    pub devices: usize,
    /// Height, width and channels of a sample.
    pub sample: [usize; 3],
    /// Element type of the samples in a batch: f32 in [-1, 1], or u8.
    pub sample_dtype: DType,
    /// Classes of the data set.
    pub classes: usize,
}

/// A network with its losses and its optimizer: everything that the traced steps need.
pub struct Trainer {
    pub(super) config: StepConfig,
    pub(super) network: Box<dyn Network>,
    pub(super) inits: Params<Init>,
    pub(super) optimizer: Optimizer,
    global_parts: Parts,
    pub(super) parts: Parts,
}
