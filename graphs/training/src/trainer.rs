//! A trainer: network, methods and optimizer, checked against each other.

use serde::{Deserialize, Serialize};
use twinflow_array::{DType, HostArray, Leaf, ParamPath, ParamRules, TensorType, map};
use twinflow_compiler::Tensor;
use twinflow_methods::{BatchPart, BatchShape, Method, MethodsConfig, Phase, Start, phases};
use twinflow_models::{
    denoisers::{DataSpec, ModelConfig},
    encoders::TextEncoderConfig,
};
use twinflow_nn::{ConfigError, Denoiser, Init, Params, require};

use crate::{
    Batch, State,
    optim::{Optimizer, OptimizerConfig},
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

impl Precision {
    /// The element type for [`Trace::compute_in`](twinflow_compiler::Trace::compute_in).
    pub fn compute(self) -> Option<DType> {
        (self == Precision::Bf16).then_some(DType::BF16)
    }
}

/// What a trainer is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct StepConfig {
    /// `[model]`.
    pub model: ModelConfig,
    /// `[text_encoder]`, for prompts that are tokens.
    pub text_encoder: TextEncoderConfig,
    /// The sections of the methods.
    pub methods: MethodsConfig,
    /// `[optimizer]`.
    pub optimizer: OptimizerConfig,
    /// `train.freeze`: patterns of the parameters that are not trained.
    pub freeze: Vec<String>,
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
    /// The dataset's samples and classes.
    pub data: DataSpec,
    /// Element type of the images in a batch: f32 in [-1, 1], or u8.
    pub image_dtype: DType,
}

/// A network with its methods and its optimizer: everything that the traced steps need.
pub struct Trainer {
    pub(crate) config: StepConfig,
    denoiser: Box<dyn Denoiser>,
    inits: Params<Init>,
    /// Which of the parameters are trained.
    is_trained: Vec<bool>,
    pub(crate) optimizer: Optimizer,
    phases: Vec<Phase>,
    /// How each phase's state starts; a phase's leaves in [`State::method`] follow those of the phase before.
    starts: Vec<Params<Start>>,
}

impl Trainer {
    /// Builds and checks everything.
    ///
    /// # Errors
    /// [`ConfigError`] for the first value that is not allowed or does not fit another.
    pub fn new(config: StepConfig) -> Result<Self, ConfigError> {
        require(config.micro_batches > 0, "train.micro_batches", config.micro_batches, "at least 1")?;
        require((0.0..1.0).contains(&config.ema_decay), "train.ema_decay", config.ema_decay, "0 or more, below 1")?;
        let optimizer = Optimizer::new(config.optimizer.clone(), config.steps)?;
        let shards = config.processes * config.devices * config.micro_batches;
        let batch = BatchShape { samples: config.batch_size, shards, classes: config.data.classes };
        let phases = phases(&config.methods, batch)?;
        let denoiser = config.model.build_behind(&config.text_encoder, config.data)?;
        let inits = denoiser.parameters();
        let is_trained = trained(&inits, &config.freeze)?;
        let trained_spec = inits.spec().partition(&is_trained).0;
        let starts = phases.iter().map(|phase| phase.method.state(&trained_spec)).collect();
        Ok(Trainer { config, denoiser, inits, is_trained, optimizer, phases, starts })
    }

    /// The same for samples of another shape: parameters, state and updates are the same, batches are not.
    ///
    /// # Errors
    /// [`ConfigError`] if the network does not take that shape, or has other parameters for it.
    pub fn for_samples(&self, sample: [usize; 3]) -> Result<Self, ConfigError> {
        let data = DataSpec { sample, ..self.config.data };
        let other = Trainer::new(StepConfig { data, ..self.config.clone() })?;
        let (own, others) = (self.parameter_spec(), other.parameter_spec());
        let is_same = own.leaves() == others.leaves() && !self.config.model.has_weights_per_pixel();
        if is_same { Ok(other) } else { Err(ConfigError::OneShape) }
    }

    /// Built from [`StepConfig::model`] for the data of the run.
    pub fn denoiser(&self) -> &dyn Denoiser {
        self.denoiser.as_ref()
    }

    /// In the order in which a run goes through them.
    pub fn phases(&self) -> &[Phase] {
        &self.phases
    }

    /// Names of the loss terms of all phases, each once.
    pub fn term_names(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for name in self.phases.iter().flat_map(|phase| phase.method.terms()) {
            if !names.contains(name) {
                names.push(*name);
            }
        }
        names
    }

    /// Number of the phase that trains in the step with this number (from 0).
    pub fn phase_at(&self, step: u64) -> usize {
        self.phases.iter().rposition(|phase| phase.first_step <= step).unwrap_or(0)
    }

    /// The parts of the global batch, in order, by which it is dealt out: those of the phase that has most.
    pub fn parts(&self) -> Vec<BatchPart> {
        let parts = self.phases.iter().map(|phase| phase.method.parts());
        parts.max_by_key(Vec::len).unwrap_or_default()
    }

    /// Types of all parameters.
    pub fn parameter_spec(&self) -> Params<TensorType> {
        self.inits.spec()
    }

    /// Types of the parameters that are trained.
    pub fn trained_spec(&self) -> Params<TensorType> {
        self.parameter_spec().partition(&self.is_trained).0
    }

    /// All parameters, in the network's order.
    pub fn all_params<L: Leaf + Clone>(&self, trained: &Params<L>, frozen: &Params<L>) -> Params<L> {
        Params::merge(trained, frozen, &self.is_trained)
    }

    /// Types of the state.
    pub fn state_spec(&self) -> State<TensorType> {
        let (trained, frozen) = self.parameter_spec().partition(&self.is_trained);
        State {
            step: TensorType::scalar(DType::U32),
            phase: TensorType::scalar(DType::I32),
            method: map(&self.method_starts(), |_, start| start.ty()),
            ema: trained.clone(),
            optimizer: self.optimizer.state_spec(&trained),
            trained,
            frozen,
            key: TensorType::new(DType::U32, [2]),
        }
    }

    /// The state before the first step: a function of the configuration and the seed alone.
    pub fn init(&self, seed: u64) -> State<HostArray> {
        let (trained, frozen) = self.inits.sample(seed).partition(&self.is_trained);
        let halves = [(seed >> 32) as u32, seed as u32];
        State {
            step: HostArray::scalar(0u32),
            phase: HostArray::scalar(self.phase_at(0) as i32),
            method: map(&self.method_starts(), |_, start| start.on_host(&trained)),
            ema: trained.clone(),
            optimizer: self.optimizer.init(&self.trained_spec()),
            trained,
            frozen,
            key: HostArray::from_slice([2], &halves).expect("two numbers"),
        }
    }

    /// Types of one device's batch, `[micro-batches, samples of one, ..]`.
    pub fn batch_spec(&self) -> Batch<TensorType> {
        let StepConfig { batch_size, micro_batches, processes, devices, data, image_dtype, .. } = &self.config;
        let leading = [*micro_batches, batch_size / (processes * devices * micro_batches)];
        let images = leading.iter().chain(&data.sample).copied().collect::<Vec<_>>();
        Batch {
            images: TensorType::new(*image_dtype, images),
            condition: self.denoiser.condition().with_leading(&leading),
            null_condition: self.denoiser.condition().with_leading(&[1]),
            rows: TensorType::new(DType::U32, leading),
        }
    }

    /// The state when a phase begins: what its method keeps starts anew.
    pub fn begin<'t>(&self, phase: usize, state: State<Tensor<'t>>) -> State<Tensor<'t>> {
        let started = map(&self.starts[phase], |_, start| start.traced(&state.trained));
        State {
            phase: state.phase.full_like(phase as f64),
            method: self.with_method_state(phase, &state.method, &started),
            ..state
        }
    }

    /// Whether there is anything to do when a phase begins but to note it.
    pub fn has_start(&self, phase: usize) -> bool {
        !self.starts[phase].leaves().is_empty()
    }

    pub(crate) fn method(&self, phase: usize) -> &dyn Method {
        self.phases[phase].method.as_ref()
    }

    pub(crate) fn compute(&self) -> Option<DType> {
        self.config.precision.compute()
    }

    /// Height, width and channels of the samples.
    pub fn sample_shape(&self) -> [usize; 3] {
        self.config.data.sample
    }

    /// Devices of one process.
    pub fn devices(&self) -> usize {
        self.config.devices
    }

    fn method_starts(&self) -> Params<Start> {
        Params::concatenate(&self.starts)
    }

    /// A phase's own part of what the methods keep.
    pub(crate) fn method_state<'t>(&self, phase: usize, all: &Params<Tensor<'t>>) -> Params<Tensor<'t>> {
        let first: usize = self.starts[..phase].iter().map(|starts| starts.leaves().len()).sum();
        let own = &self.starts[phase];
        own.with_leaves(all.leaves()[first..][..own.leaves().len()].iter().copied())
    }

    /// The methods' state with a phase's own part replaced.
    pub(crate) fn with_method_state<'t>(
        &self,
        phase: usize,
        all: &Params<Tensor<'t>>,
        own: &Params<Tensor<'t>>,
    ) -> Params<Tensor<'t>> {
        let states: Vec<_> =
            (0..self.phases.len()).map(|i| if i == phase { own.clone() } else { self.method_state(i, all) }).collect();
        Params::concatenate(&states)
    }
}

/// Which parameters are trained: those that no pattern of `freeze` matches and that are not fixed by themselves.
fn trained(inits: &Params<Init>, freeze: &[String]) -> Result<Vec<bool>, ConfigError> {
    const KEY: &str = "train.freeze";
    let rules = ParamRules::new(freeze.iter().map(|pattern| (pattern.as_str(), ())));
    let allowed = "patterns of path segments between '/', none empty";
    let rules = rules.map_err(|_| ConfigError::Value { key: KEY, value: format!("{freeze:?}"), allowed })?;
    if let Some(pattern) = rules.unmatched(inits.paths()).first() {
        let known = inits.paths().map(ParamPath::as_str).collect::<Vec<_>>().join(", ");
        return Err(ConfigError::NoMatch { key: KEY, pattern: (*pattern).to_owned(), known });
    }
    let pairs = inits.paths().zip(inits.leaves());
    let is_trained: Vec<bool> = pairs.map(|(path, init)| rules.find(path).is_none() && !init.is_fixed()).collect();
    require(is_trained.contains(&true), KEY, freeze, "patterns that leave at least one parameter to train")?;
    Ok(is_trained)
}
