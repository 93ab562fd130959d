//! The programs of a config: what is traced, by name and type.

use twinflow_array::{DType, TensorType};
use twinflow_compiler::{Tensor, TraceError, Traced, jit};
use twinflow_graphs::{
    Params,
    flow::SampleConfig,
    step::{Batch, Metrics, Phase, State, Trainer},
};

use TensorType as Spec;

/// No inputs.
pub type Nothing = Option<Spec>;
/// What an update gives.
pub type Updated = (State<Spec>, Metrics<Spec>);
/// A whole training step.
pub type StepProgram = Traced<State<Spec>, Batch<Spec>, Updated>;
/// Gradients and loss terms of one process, as one vector.
pub type GradientsProgram = Traced<Nothing, (State<Spec>, Batch<Spec>), Spec>;
/// The update by gradients averaged over processes.
pub type UpdateProgram = Traced<State<Spec>, Spec, Updated>;
/// From the flow-matching to the TwinFlow phase.
pub type BeginTwinFlowProgram = Traced<State<Spec>, Nothing, State<Spec>>;
/// Samples from parameters, labels, sample numbers and key.
pub type SampleProgram = Traced<Nothing, (Params<Spec>, Spec, Spec, Spec), Spec>;

/// The step in one program: for one process.
///
/// # Errors
/// A model that does not fit its inputs.
pub fn step(trainer: &Trainer, phase: Phase) -> Result<StepProgram, TraceError> {
    let name = format!("{}_step", phase_name(phase));
    jit(&name, trainer.state_spec(), trainer.batch_spec(), |_, state: State<Tensor<'_>>, batch: Batch<Tensor<'_>>| {
        trainer.step(phase, state, &batch)
    })
}

/// The first half of the step: what comes before MPI.
///
/// # Errors
/// As [`step`].
pub fn gradients(trainer: &Trainer, phase: Phase) -> Result<GradientsProgram, TraceError> {
    let name = format!("{}_gradients", phase_name(phase));
    let kept = (trainer.state_spec(), trainer.batch_spec());
    jit(&name, None, kept, |_, _: Option<Tensor<'_>>, (state, batch): (State<Tensor<'_>>, Batch<Tensor<'_>>)| {
        trainer.gradients(phase, &state, &batch)
    })
}

/// The second half of the step: what comes after MPI.
///
/// # Errors
/// As [`step`].
pub fn update(trainer: &Trainer, phase: Phase) -> Result<UpdateProgram, TraceError> {
    let name = format!("{}_update", phase_name(phase));
    let flat = trainer.flat_gradients_spec();
    jit(&name, trainer.state_spec(), flat, |_, state: State<Tensor<'_>>, flat: Tensor<'_>| {
        trainer.update(phase, state, flat)
    })
}

/// The change of the state between the phases.
///
/// # Errors
/// As [`step`].
pub fn begin_twinflow(trainer: &Trainer) -> Result<BeginTwinFlowProgram, TraceError> {
    jit("begin_twinflow", trainer.state_spec(), None, |_, state: State<Tensor<'_>>, _: Option<Tensor<'_>>| {
        trainer.begin_twinflow(state)
    })
}

/// The sampler for `batch` samples at a time.
///
/// # Errors
/// As [`step`].
pub fn sample(trainer: &Trainer, config: &SampleConfig, batch: usize) -> Result<SampleProgram, TraceError> {
    let numbers = |dtype| Spec::new(dtype, [batch]);
    let kept = (trainer.parameter_spec(), numbers(DType::I32), numbers(DType::U32), Spec::new(DType::U32, [2]));
    type Kept<'t> = (Params<Tensor<'t>>, Tensor<'t>, Tensor<'t>, Tensor<'t>);
    jit("sample", None, kept, |_, _: Option<Tensor<'_>>, (params, labels, rows, key): Kept<'_>| {
        trainer.sample(config, &params, labels, rows, key)
    })
}

/// The phase in metrics, checkpoints and program names.
pub fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::FlowMatching => "flow",
        Phase::TwinFlow => "twinflow",
    }
}
