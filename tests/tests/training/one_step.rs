//! After flow matching one step lands between the points; after TwinFlow, on them, with data or without.

use twinflow_array::{DType, HostArray, TensorType, by_ref, leaves};
use twinflow_compiler::{Jit, Key, jit, to_device, to_host};
use twinflow_methods::flow::{SampleConfig, draw_samples};
use twinflow_nn::{Condition, Params};
use twinflow_pjrt::{Buffer, CompileOptions};
use twinflow_tests::{trainers::rows, xla::client};
use twinflow_training::{Batch, Metrics, State, StepConfig, Trainer};

use crate::toy;

type Step = Jit<State<TensorType>, Batch<TensorType>, (State<TensorType>, Metrics<TensorType>)>;

const SAMPLES: usize = 512;
/// Numbers of the phases.
const FLOW: usize = 0;
const TWINFLOW: usize = 1;

#[test]
fn twinflow_makes_one_step_enough() {
    let config = toy::config();
    let (trainer, step, state) = after_flow_matching(&config);
    let sampler = sampler(&trainer);
    let before = samples(&sampler, &state.ema);
    let state = train((&config, &trainer), &step, state, toy::FLOW_STEPS..config.steps, toy::batch);
    assert_better(&before, &samples(&sampler, &state.ema));
}

#[test]
fn one_step_is_learnt_without_data() {
    let config = toy::image_free();
    let (trainer, step, state) = after_flow_matching(&config);
    let next = toy::FLOW_STEPS..toy::FLOW_STEPS + 1;
    let sampler = sampler(&trainer);
    let before = samples(&sampler, &state.ema);
    let [fed, starved] = [toy::batch, toy::garbage].map(|batch| {
        let copy = to_device(&to_host(&state).unwrap(), &client().devices()[0]).unwrap();
        to_host(&train((&config, &trainer), &step, copy, next.clone(), batch)).unwrap()
    });
    assert_eq!(leaves(&fed), leaves(&starved), "the data makes a difference");
    let state = train((&config, &trainer), &step, state, toy::FLOW_STEPS..config.steps, toy::garbage);
    assert_better(&before, &samples(&sampler, &state.ema));
}

/// One step is not enough before and is after, with points of every kind.
fn assert_better(before: &HostArray, after: &HostArray) {
    let (before, after, rarest) = (toy::distance(before), toy::distance(after), toy::rarest(after));
    assert!(before > 0.4 && after < 0.3 && rarest > 0.1, "distance {before}, then {after}; rarest point {rarest}");
}

/// A trainer, its TwinFlow step, and the state after the flow-matching phase, ready for TwinFlow.
fn after_flow_matching(config: &StepConfig) -> (Trainer, Step, State<Buffer>) {
    let trainer = Trainer::new(config.clone()).unwrap();
    let state = to_device(&trainer.init(5), &client().devices()[0]).unwrap();
    let state = train((config, &trainer), &step(&trainer, FLOW), state, 0..toy::FLOW_STEPS, toy::batch);
    let begin =
        jit("begin", trainer.state_spec(), Vec::<TensorType>::new(), |_, state, _| trainer.begin(TWINFLOW, state));
    let begin: Jit<_, _, State<TensorType>> = begin.unwrap().compile(client(), &CompileOptions::default()).unwrap();
    let state = begin.call(state, Vec::new()).unwrap();
    let step = step(&trainer, TWINFLOW);
    (trainer, step, state)
}

fn step(trainer: &Trainer, phase: usize) -> Step {
    let step =
        jit("step", trainer.state_spec(), trainer.batch_spec(), |_, state, batch| trainer.step(phase, state, &batch));
    step.unwrap().compile(client(), &CompileOptions::default()).unwrap()
}

fn train(
    (config, trainer): (&StepConfig, &Trainer),
    step: &Step,
    state: State<Buffer>,
    steps: std::ops::Range<u64>,
    batch: toy::MakeBatch,
) -> State<Buffer> {
    let rows = rows(config, trainer, 0, 0);
    steps.fold(state, |state, number| {
        let batch = to_device(&batch(config, trainer, number, &rows), &client().devices()[0]).unwrap();
        step.call(state, by_ref(&batch)).unwrap().0
    })
}

/// Labels, rows and key, then the parameters.
type Sampler = Jit<Vec<TensorType>, Params<TensorType>, TensorType>;

fn sampler(trainer: &Trainer) -> Sampler {
    let inputs = vec![
        TensorType::new(DType::I32, [SAMPLES]),
        TensorType::new(DType::U32, [SAMPLES]),
        TensorType::new(DType::U32, [2]),
    ];
    let traced = jit("sample", inputs, trainer.parameter_spec(), |_, inputs, params| {
        let condition = Condition::of_labels(inputs[0]);
        let random = (Key::from_tensor(inputs[2]), inputs[1]);
        draw_samples(
            trainer.denoiser(),
            &SampleConfig::default(),
            &params,
            &[1, 1, 2].into(),
            &condition.into(),
            random,
        )
    });
    traced.unwrap().compile(client(), &CompileOptions::default()).unwrap()
}

fn samples(sampler: &Sampler, params: &Params<Buffer>) -> HostArray {
    let rows: Vec<u32> = (0..SAMPLES as u32).collect();
    let inputs = vec![
        HostArray::from_slice([SAMPLES], &[0i32; SAMPLES]).unwrap(),
        HostArray::from_slice([SAMPLES], &rows).unwrap(),
        HostArray::from_slice([2], &[1u32, 2]).unwrap(),
    ];
    let inputs = to_device(&inputs, &client().devices()[0]).unwrap();
    to_host(&sampler.call(inputs, by_ref(params)).unwrap()).unwrap()
}
