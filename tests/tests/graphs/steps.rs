//! Training steps: programs that must agree, and what a step does to the state.

use ndarray::ArrayD;
use twinflow_array::{DType, HostArray, Tree, leaves, map};
use twinflow_methods::{
    flow::FlowConfig,
    twinflow::{GuidanceAgainst, TeacherKind, TwinFlowConfig, Variant},
};
use twinflow_models::denoisers::{DitConfig, MlpConfig, ModelConfig, Remat, UnetConfig};
use twinflow_training::{Batch, Phase, Precision, State, StepConfig, Trainer, optim::OptimizerConfig};

fn toy() -> StepConfig {
    StepConfig {
        model: ModelConfig::Mlp(MlpConfig { width: 8, depth: 2, ..Default::default() }),
        flow: FlowConfig::default(),
        twinflow: TwinFlowConfig { guidance_closed: true, ..Default::default() },
        optimizer: OptimizerConfig { learning_rate: 0.01, warmup_steps: 0, ..Default::default() },
        steps: 10,
        batch_size: 8,
        micro_batches: 1,
        precision: Precision::F32,
        ema_decay: 0.9,
        processes: 1,
        devices: 1,
        sample: [1, 1, 2],
        sample_dtype: DType::F32,
        classes: 3,
    }
}

fn small_dit(remat: Remat) -> StepConfig {
    let dit =
        DitConfig { width: 8, depth: 2, heads: 2, mlp_ratio: 2, patch: 2, qk_norm: true, remat, ..Default::default() };
    StepConfig { model: ModelConfig::Dit(dit), sample: [4, 4, 1], batch_size: 4, ..toy() }
}

/// The public tutorial's network and losses.
fn small_tutorial() -> StepConfig {
    let unet = UnetConfig { channels: 2, multipliers: vec![1, 2], embedding: 4, groups: 0 };
    let twinflow = TwinFlowConfig {
        variant: Variant::WholeBatch,
        guidance_against: GuidanceAgainst::RandomClass,
        ..Default::default()
    };
    StepConfig { model: ModelConfig::Unet(unet), twinflow, sample: [4, 4, 1], batch_size: 4, ..toy() }
}

/// A state whose parameters are all away from zero: layers that start at zero hide what lies before them.
fn state(trainer: &Trainer) -> State<HostArray> {
    let mut state = trainer.init(7);
    state.params = map(&crate::support::noise(&trainer.parameter_spec(), 1.0), |_, array| {
        let values: Vec<f64> = array.to_f64().iter().map(|v| 0.4 * v).collect();
        HostArray::from_f64(array.ty().clone(), &values).unwrap()
    });
    state
}

fn batch(trainer: &Trainer) -> Batch<HostArray> {
    let spec = trainer.batch_spec();
    let rows = trainer.rows(0, 0);
    let sample = spec.samples.shape[2..].iter().product::<usize>();
    // By row, so that any dealing out of the batch holds the same samples; each class has one.
    let pixel = |row: u32, i: usize| ((f64::from(row % 3) * 1.7 + i as f64).sin() * 0.8) as f32;
    let samples: Vec<f32> = rows.iter().flat_map(|row| (0..sample).map(move |i| pixel(*row, i))).collect();
    let labels: Vec<i32> = rows.iter().map(|row| (*row % 3) as i32).collect();
    Batch {
        samples: HostArray::from_slice(&spec.samples.shape, &samples).unwrap(),
        labels: HostArray::from_slice(&spec.labels.shape, &labels).unwrap(),
        rows: HostArray::from_slice(&spec.rows.shape, &rows).unwrap(),
    }
}

fn flat_gradients(config: &StepConfig, phase: Phase) -> Vec<f64> {
    let trainer = Trainer::new(config.clone()).unwrap();
    let outputs = crate::support::run(&(state(&trainer), batch(&trainer)), |_, (state, batch)| {
        vec![trainer.gradients(phase, &state, &batch)]
    });
    outputs[0].iter().copied().collect()
}

fn relative_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    norm(&mut a.iter().zip(b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied())
}

#[test]
fn micro_batches_make_the_whole_batch() {
    let cases = [(toy(), Phase::FlowMatching), (toy(), Phase::TwinFlow), (small_tutorial(), Phase::TwinFlow)];
    for (config, phase) in cases {
        let whole = flat_gradients(&config, phase);
        let micro = flat_gradients(&StepConfig { micro_batches: 2, ..config }, phase);
        let difference = relative_difference(&micro, &whole);
        assert!(whole.iter().all(|v| v.is_finite()) && difference < 1e-9, "{phase:?}: {difference}");
    }
}

#[test]
fn processes_make_the_whole_batch() {
    let whole = flat_gradients(&toy(), Phase::TwinFlow);
    let config = StepConfig { processes: 2, ..toy() };
    let trainer = Trainer::new(config).unwrap();
    let rows: Vec<u32> = (0..2).flat_map(|process| trainer.rows(process, 0)).collect();
    assert_eq!(rows, [0, 2, 4, 6, 1, 3, 5, 7]);
    let of_process = |process: usize| {
        let mut own = batch(&Trainer::new(toy()).unwrap());
        let rows = trainer.rows(process, 0);
        let pick = |array: &HostArray, ty| {
            let values = array.to_f64();
            let size = values.len() / 8;
            let picked: Vec<f64> =
                rows.iter().flat_map(|row| values[*row as usize * size..][..size].to_vec()).collect();
            HostArray::from_f64(ty, &picked).unwrap()
        };
        let spec = trainer.batch_spec();
        own = Batch {
            samples: pick(&own.samples, spec.samples),
            labels: pick(&own.labels, spec.labels),
            rows: pick(&own.rows, spec.rows),
        };
        let outputs = crate::support::run(&(state(&trainer), own), |_, (state, batch)| {
            vec![trainer.gradients(Phase::TwinFlow, &state, &batch)]
        });
        outputs[0].clone()
    };
    let mean: Vec<f64> = ((of_process(0) + of_process(1)) / 2.0).iter().copied().collect();
    assert!(relative_difference(&mean, &whole) < 1e-9);
}

#[test]
fn remat_changes_nothing() {
    let none = flat_gradients(&small_dit(Remat::None), Phase::TwinFlow);
    let blocks = flat_gradients(&small_dit(Remat::Blocks), Phase::TwinFlow);
    assert!(relative_difference(&blocks, &none) < 1e-12);
}

#[test]
fn gradients_reach_every_parameter() {
    for config in [small_dit(Remat::None), small_tutorial()] {
        let trainer = Trainer::new(config.clone()).unwrap();
        let flat = flat_gradients(&config, Phase::TwinFlow);
        let mut start = 0;
        trainer.parameter_spec().visit(&Default::default(), &mut |place, ty| {
            let end = start + ty.shape.elements();
            assert!(flat[start..end].iter().any(|v| *v != 0.0), "{} has no gradient", place.path());
            start = end;
        });
    }
}

/// The state after one step, and its metrics as (loss, base, adv, rectify, gap, norm, rate, applied).
fn one_step(trainer: &Trainer, phase: Phase, state: &State<HostArray>, fused: bool) -> (State<HostArray>, Vec<f64>) {
    let inputs = (state.clone(), batch(trainer));
    let outputs: Vec<ArrayD<f64>> = crate::support::run(&inputs, |_, (state, batch)| {
        let (state, metrics) = if fused {
            trainer.step(phase, state, &batch)
        } else {
            let flat = trainer.gradients(phase, &state, &batch);
            trainer.update(phase, state, flat)
        };
        leaves(&state).into_iter().chain(leaves(&metrics)).copied().collect()
    });
    let count = leaves(state).len();
    let metrics = outputs[count..].iter().map(|metric| metric.sum()).collect();
    (crate::support::arrays(&trainer.state_spec(), &outputs[..count]), metrics)
}

#[test]
fn fused_step_is_gradients_then_update() {
    let trainer = Trainer::new(toy()).unwrap();
    let start = state(&trainer);
    let (fused, fused_metrics) = one_step(&trainer, Phase::TwinFlow, &start, true);
    let (split, split_metrics) = one_step(&trainer, Phase::TwinFlow, &start, false);
    assert_eq!(leaves(&fused), leaves(&split));
    assert_eq!(fused_metrics, split_metrics);
    let [loss, base, adv, rectify, gap, norm, rate, applied] = fused_metrics[..] else { panic!("eight metrics") };
    assert!((loss - base - adv - rectify).abs() < 1e-9 * loss && base > 0.0 && adv > 0.0 && rectify > 0.0);
    assert!(gap > 0.0 && norm > 0.0 && (rate - 0.01).abs() < 1e-9 && applied == 1.0);
    assert_eq!(fused.step, HostArray::scalar(1u32));
    assert_ne!(leaves(&fused.params), leaves(&start.params));
    // Decay 0.99 with warm-up: 0.495, then 0.495 + 0.505 * 0.495 / 2.
    assert!((fused.teacher_decay.to_f64()[0] - 0.619_987_5).abs() < 1e-6);
}

#[test]
fn non_finite_gradients_leave_the_state_alone() {
    let trainer = Trainer::new(toy()).unwrap();
    let mut start = state(&trainer);
    let mut first = true;
    start.params = map(&start.params, |_, array| {
        let fill = std::mem::take(&mut first);
        let values: Vec<f64> = array.to_f64().iter().map(|v| if fill { f64::NAN } else { *v }).collect();
        HostArray::from_f64(array.ty().clone(), &values).unwrap()
    });
    let (next, metrics) = one_step(&trainer, Phase::TwinFlow, &start, true);
    assert_eq!(metrics[7], 0.0);
    assert_eq!(next.step, HostArray::scalar(1u32));
    assert_eq!(leaves(&next.optimizer), leaves(&start.optimizer));
    assert_eq!(leaves(&next.teacher), leaves(&start.teacher));
    assert_eq!(leaves(&next.params)[1..], leaves(&start.params)[1..]);
}

#[test]
fn phases_switch_and_the_teacher_starts_as_the_model() {
    let config = StepConfig { flow: FlowConfig { steps: 3, ..Default::default() }, ..toy() };
    let trainer = Trainer::new(config).unwrap();
    assert_eq!([trainer.phase_at(2), trainer.phase_at(3)], [Phase::FlowMatching, Phase::TwinFlow]);
    let start = state(&trainer);
    assert_eq!(start.phase, HostArray::scalar(0i32));
    let (trained, metrics) = one_step(&trainer, Phase::FlowMatching, &start, true);
    assert_eq!(leaves(&trained.teacher), leaves(&start.teacher));
    assert_eq!(metrics[2..5], [0.0; 3]);
    let outputs =
        crate::support::run(&trained, |_, state| leaves(&trainer.begin_twinflow(state)).into_iter().copied().collect());
    let switched: State<HostArray> = crate::support::arrays(&trainer.state_spec(), &outputs);
    assert_eq!(switched.phase, HostArray::scalar(1i32));
    assert_eq!(leaves(&switched.teacher), leaves(&trained.params));
    assert_eq!(switched.teacher_decay, HostArray::scalar(0.495f32));
}

#[test]
fn teachers_of_each_kind_and_bf16_can_be_traced() {
    for teacher in [TeacherKind::Ema, TeacherKind::Live, TeacherKind::Frozen] {
        for image_free in [false, true] {
            let twinflow = TwinFlowConfig { teacher, image_free, order: 3, ..Default::default() };
            let gradients = flat_gradients(&StepConfig { twinflow, ..toy() }, Phase::TwinFlow);
            assert!(gradients.iter().all(|v| v.is_finite()), "{teacher:?}, image_free {image_free}");
        }
    }
    for config in [small_dit(Remat::Blocks), small_tutorial()] {
        let bf16 = flat_gradients(&StepConfig { precision: Precision::Bf16, ..config }, Phase::TwinFlow);
        assert!(bf16.iter().all(|v| v.is_finite()));
    }
}

#[test]
fn training_lowers_the_flow_matching_loss() {
    let optimizer = OptimizerConfig { learning_rate: 0.03, ..toy().optimizer };
    let trainer = Trainer::new(StepConfig { optimizer, batch_size: 16, ..toy() }).unwrap();
    let (mut state, mut losses) = (trainer.init(3), Vec::new());
    for _ in 0..30 {
        let (next, metrics) = one_step(&trainer, Phase::FlowMatching, &state, true);
        losses.push(metrics[0]);
        state = next;
    }
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    assert!(mean(&losses[20..]) < 0.8 * mean(&losses[..10]), "{losses:?}");
}
