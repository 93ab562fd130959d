//! A trainer: network, losses and optimizer, checked against each other.

use serde::{Deserialize, Serialize};
use twinflow_array::{DType, HostArray, TensorType};
use twinflow_compiler::{Key, Tensor};

use crate::{
    ConfigError, Init, LossTerms, Params,
    error::require,
    flow::{FlowConfig, Noise, SampleConfig, sample},
    models::{ModelConfig, ModelInput, Network},
    optim::{Optimizer, OptimizerConfig, Teaching},
    random::Draw,
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
    /// The parts of the global batch.
    parts: Parts,
    /// The parts of one device's micro-batch.
    pub(super) shard_parts: Parts,
}

impl Trainer {
    /// Builds and checks everything.
    ///
    /// # Errors
    /// [`ConfigError`] for the first value that is not allowed or does not fit another.
    pub fn new(config: StepConfig) -> Result<Self, ConfigError> {
        config.flow.validate()?;
        config.twinflow.validate()?;
        require(config.micro_batches > 0, "train.micro_batches", config.micro_batches, "at least 1")?;
        require((0.0..1.0).contains(&config.ema_decay), "train.ema_decay", config.ema_decay, "0 or more, below 1")?;
        let optimizer = Optimizer::new(config.optimizer.clone(), config.steps)?;
        let parts = Parts::new(config.twinflow.part_shares(), config.batch_size)?;
        let shard_parts = parts.divide(config.shards())?;
        let compute = (config.precision == Precision::Bf16).then_some(DType::BF16);
        let input = ModelInput { sample: config.sample, classes: config.classes, compute };
        let network = config.model.build(input)?;
        let inits = network.parameters();
        Ok(Trainer { config, network, inits, optimizer, parts, shard_parts })
    }

    /// The network.
    pub fn network(&self) -> &dyn Network {
        self.network.as_ref()
    }

    /// Types of the parameters.
    pub fn parameter_spec(&self) -> Params<TensorType> {
        self.inits.spec()
    }

    /// Types of the state.
    pub fn state_spec(&self) -> State<TensorType> {
        let params = self.parameter_spec();
        State {
            step: TensorType::scalar(DType::U32),
            phase: TensorType::scalar(DType::I32),
            teacher: self.has_teacher().then(|| params.clone()),
            teacher_decay: TensorType::scalar(DType::F32),
            ema: params.clone(),
            optimizer: self.optimizer.state_spec(&params),
            params,
            key: TensorType::new(DType::U32, [2]),
        }
    }

    /// The state before the first step: a function of the configuration and the seed alone.
    pub fn init(&self, seed: u64) -> State<HostArray> {
        let params = self.inits.sample(seed);
        let halves = [(seed >> 32) as u32, seed as u32];
        State {
            step: HostArray::scalar(0u32),
            phase: HostArray::scalar(self.phase_at(0) as i32),
            teacher: self.has_teacher().then(|| params.clone()),
            teacher_decay: HostArray::scalar(self.first_teacher_decay() as f32),
            ema: params.clone(),
            optimizer: self.optimizer.init(&self.parameter_spec()),
            params,
            key: HostArray::from_slice([2], &halves).expect("two numbers"),
        }
    }

    /// Types of one device's batch, `[micro-batches, samples of one, ..]`.
    pub fn batch_spec(&self) -> Batch<TensorType> {
        let leading = [self.config.micro_batches, self.shard_parts.batch()];
        let samples = leading.iter().chain(&self.config.sample).copied().collect::<Vec<_>>();
        Batch {
            samples: TensorType::new(self.config.sample_dtype, samples),
            labels: TensorType::new(DType::I32, leading),
            rows: TensorType::new(DType::U32, leading),
        }
    }

    /// The rows of the global batch that a device works on, micro-batch by micro-batch: the batch's `rows`.
    pub fn rows(&self, process: usize, device: usize) -> Vec<u32> {
        let first = (process * self.config.devices + device) * self.config.micro_batches;
        let shards = self.config.shards();
        (first..first + self.config.micro_batches).flat_map(|shard| self.parts.rows(shard, shards)).collect()
    }

    /// The parts of the global batch.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// What the step with this number (from 0) trains.
    pub fn phase_at(&self, step: u64) -> Phase {
        if step < self.config.flow.steps { Phase::FlowMatching } else { Phase::TwinFlow }
    }

    /// Type of the vector of gradients and loss terms.
    pub fn flat_gradients_spec(&self) -> TensorType {
        TensorType::f32([self.parameter_spec().count() + LossTerms::<TensorType>::COUNT])
    }

    /// Samples f32 `[b, height, width, channels]`, about in [-1, 1], of the given classes (i32 `[b]`).
    ///
    /// `rows` (u32 `[b]`) number the samples: each sample's noise depends on its number and the key (u32 `[2]`) alone.
    pub fn sample<'t>(
        &self,
        config: &SampleConfig,
        params: &Params<Tensor<'t>>,
        labels: Tensor<'t>,
        rows: Tensor<'t>,
        key: Tensor<'t>,
    ) -> Tensor<'t> {
        let key = Key::from_tensor(key);
        let z = Draw::SAMPLE_START.normal(key, rows, &self.config.sample.into());
        sample(self.network(), config, params, z, labels, Noise::Drawn { key, rows }).last
    }

    pub(super) fn first_teacher_decay(&self) -> f64 {
        let fixed = if self.config.twinflow.teacher == TeacherKind::Frozen { 1.0 } else { 0.0 };
        Teaching::new(&self.config.twinflow).map_or(fixed, Teaching::first_decay)
    }

    fn has_teacher(&self) -> bool {
        self.config.twinflow.teacher != TeacherKind::Live
    }
}

impl StepConfig {
    /// Equal shares that the global batch is dealt out in: processes x devices x micro-batches.
    pub fn shards(&self) -> usize {
        self.processes * self.devices * self.micro_batches
    }
}
