//! The programs of a config: what is traced, by name and type. A program is listed here alone.

use twinflow_array::{DType, TensorType, Tree};
use twinflow_compiler::{Key, Program, Tensor, TraceError, Traced, jit, stablehlo::Products};
use twinflow_methods::flow::{Guided, SampleConfig, draw_samples};
use twinflow_nn::Params;
use twinflow_training::{Batch, Gradients, Metrics, State, Trainer};

use crate::model::Model;

/// No inputs.
pub type Nothing = Option<TensorType>;
/// What an update gives.
pub type Updated = (State<TensorType>, Metrics<TensorType>);
/// A whole training step.
pub type StepProgram = Traced<State<TensorType>, Batch<TensorType>, Updated>;
/// Gradients and loss terms of one process.
pub type GradientsProgram = Traced<Nothing, (State<TensorType>, Batch<TensorType>), Gradients<TensorType>>;
/// The update by gradients averaged over processes.
pub type UpdateProgram = Traced<State<TensorType>, Gradients<TensorType>, Updated>;
/// The beginning of a phase.
pub type BeginProgram = Traced<State<TensorType>, Nothing, State<TensorType>>;
/// What the sampler reads: trained and frozen parameters, condition and "no condition", sample numbers and key.
pub type SampleInputs<L> = (Params<L>, Guided<L>, L, L);
/// Samples.
pub type SampleProgram = Traced<Nothing, SampleInputs<TensorType>, TensorType>;

/// One of a config's programs, by the number of its phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramKind {
    /// A training step of one process.
    Step(usize),
    /// The beginning of a phase whose method keeps something.
    Begin(usize),
    /// The first half of a step: what comes before MPI.
    Gradients(usize),
    Update(usize),
    Sample,
}

/// A program with all that compiling it needs to know.
pub struct Listing {
    /// The simplified program.
    pub program: Program,
    /// What XLA gets.
    pub stablehlo: String,
    /// Devices that it runs on at once.
    pub replicas: usize,
}

impl ProgramKind {
    /// The programs of a trainer with their names; of those that only several processes run, the last phase's.
    pub fn all(trainer: &Trainer) -> Vec<(String, ProgramKind)> {
        let mut all = Vec::new();
        for (number, phase) in trainer.phases().iter().enumerate() {
            let name = phase.method.name();
            if trainer.has_start(number) {
                all.push((format!("begin-{name}"), ProgramKind::Begin(number)));
            }
            all.push((format!("{name}-step"), ProgramKind::Step(number)));
        }
        let last = trainer.phases().len() - 1;
        all.push(("gradients".into(), ProgramKind::Gradients(last)));
        all.push(("update".into(), ProgramKind::Update(last)));
        all.push(("sample".into(), ProgramKind::Sample));
        all
    }

    /// Whether a run of so many processes runs it, by the last phase that its steps reach.
    pub fn is_run_by(self, processes: usize, last_phase: usize) -> bool {
        match self {
            ProgramKind::Step(phase) => processes == 1 && phase <= last_phase,
            ProgramKind::Gradients(phase) | ProgramKind::Update(phase) => processes > 1 && phase <= last_phase,
            ProgramKind::Begin(phase) => phase <= last_phase,
            ProgramKind::Sample => true,
        }
    }

    /// Traces the program and lowers it for a device of these products; samples are made by `config`.
    ///
    /// # Errors
    /// A model that does not fit its inputs.
    pub fn list(
        self,
        trainer: &Trainer,
        model: &Model,
        config: &SampleConfig,
        products: Products,
    ) -> Result<Listing, TraceError> {
        let devices = trainer.devices();
        Ok(match self {
            ProgramKind::Step(phase) => listing(&step(trainer, phase)?, products, devices),
            ProgramKind::Begin(phase) => listing(&begin(trainer, phase)?, products, devices),
            ProgramKind::Gradients(phase) => listing(&gradients(trainer, phase)?, products, devices),
            ProgramKind::Update(phase) => listing(&update(trainer, phase)?, products, devices),
            ProgramKind::Sample => listing(&sample(model, config)?, products, 1),
        })
    }
}

fn listing<D, K, O>(traced: &Traced<D, K, O>, products: Products, replicas: usize) -> Listing
where
    D: Tree<Leaf = TensorType>,
    K: Tree<Leaf = TensorType>,
    O: Tree<Leaf = TensorType>,
{
    Listing { program: traced.program().clone(), stablehlo: traced.stablehlo(products), replicas }
}

/// The step in one program: for one process.
///
/// # Errors
/// A model that does not fit its inputs.
pub fn step(trainer: &Trainer, phase: usize) -> Result<StepProgram, TraceError> {
    let name = format!("{}_step", phase_name(trainer, phase));
    jit(&name, trainer.state_spec(), trainer.batch_spec(), |_, state: State<Tensor<'_>>, batch: Batch<Tensor<'_>>| {
        trainer.step(phase, state, &batch)
    })
}

/// The first half of the step: what comes before MPI.
///
/// # Errors
/// As [`step`].
pub fn gradients(trainer: &Trainer, phase: usize) -> Result<GradientsProgram, TraceError> {
    let name = format!("{}_gradients", phase_name(trainer, phase));
    let kept = (trainer.state_spec(), trainer.batch_spec());
    jit(&name, None, kept, |_, _: Option<Tensor<'_>>, (state, batch): (State<Tensor<'_>>, Batch<Tensor<'_>>)| {
        trainer.gradients(phase, &state, &batch)
    })
}

/// The second half of the step: what comes after MPI.
///
/// # Errors
/// As [`step`].
pub fn update(trainer: &Trainer, phase: usize) -> Result<UpdateProgram, TraceError> {
    let name = format!("{}_update", phase_name(trainer, phase));
    let spec = trainer.gradients_spec(phase);
    jit(&name, trainer.state_spec(), spec, |_, state: State<Tensor<'_>>, gradients: Gradients<Tensor<'_>>| {
        trainer.update(phase, state, &gradients)
    })
}

/// The change of the state at the beginning of a phase.
///
/// # Errors
/// As [`step`].
pub fn begin(trainer: &Trainer, phase: usize) -> Result<BeginProgram, TraceError> {
    let name = format!("begin_{}", phase_name(trainer, phase));
    jit(&name, trainer.state_spec(), None, |_, state: State<Tensor<'_>>, _: Option<Tensor<'_>>| {
        trainer.begin(phase, state)
    })
}

/// The sampler for [`Model::chunk_size`] samples at a time.
///
/// # Errors
/// As [`step`].
pub fn sample(model: &Model, config: &SampleConfig) -> Result<SampleProgram, TraceError> {
    let batch = model.chunk_size();
    let condition = model.denoiser().condition();
    let [condition, null] = [batch, 1].map(|rows| condition.with_leading(&[rows]));
    let condition = Guided { condition, null };
    let config = config.for_tokens(model.image_tokens());
    let numbers = |shape| TensorType::new(DType::U32, [shape]);
    let kept = (model.parameter_spec(), condition, numbers(batch), numbers(2));
    let shape = model.data().sample.into();
    type Kept<'t> = SampleInputs<Tensor<'t>>;
    jit("sample", None, kept, |trace, _: Option<Tensor<'_>>, (params, condition, rows, key): Kept<'_>| {
        let random = (Key::from_tensor(key), rows);
        trace.compute_in(model.compute(), || {
            draw_samples(model.denoiser(), &config, &params, &shape, &condition, random)
        })
    })
}

/// The phase in metrics, checkpoints and program names.
pub fn phase_name(trainer: &Trainer, phase: usize) -> &'static str {
    trainer.phases()[phase].method.name()
}
