//! Training steps: programs that must agree, and what a step does to the state.

use ndarray::ArrayD;
use twinflow_array::{DType, HostArray, leaves, map};
use twinflow_methods::{
    MethodsConfig,
    flow_matching::FlowConfig,
    twinflow::{GuidanceAgainst, TeacherKind, TwinFlowConfig, Variant},
};
use twinflow_models::denoisers::{DataSpec, DitConfig, MlpConfig, ModelConfig, Remat, Sd3Config, TextSpec, UnetConfig};
use twinflow_tests::trainers;
use twinflow_training::{Batch, Precision, State, StepConfig, Trainer, optim::OptimizerConfig};

use crate::support;

/// Numbers of the phases.
const FLOW: usize = 0;
const TWINFLOW: usize = 1;

fn toy() -> StepConfig {
    StepConfig {
        text_encoder: Default::default(),
        model: ModelConfig::Mlp(MlpConfig { width: 8, depth: 2, ..Default::default() }),
        methods: of_twinflow(TwinFlowConfig { guidance_closed: true, ..Default::default() }),
        optimizer: OptimizerConfig { learning_rate: 0.01, warmup_steps: 0, ..Default::default() },
        freeze: Vec::new(),
        steps: 10,
        batch_size: 8,
        micro_batches: 1,
        precision: Precision::F32,
        ema_decay: 0.9,
        processes: 1,
        devices: 1,
        data: DataSpec::labelled([1, 1, 2], 3),
        image_dtype: DType::F32,
    }
}

fn of_twinflow(twinflow: TwinFlowConfig) -> MethodsConfig {
    MethodsConfig { twinflow, ..Default::default() }
}

fn small_dit(remat: Remat) -> StepConfig {
    let dit =
        DitConfig { width: 8, depth: 2, heads: 2, mlp_ratio: 2, patch: 2, qk_norm: true, remat, ..Default::default() };
    StepConfig { model: ModelConfig::Dit(dit), data: DataSpec::labelled([4, 4, 1], 3), batch_size: 4, ..toy() }
}

/// The public tutorial's network and losses.
fn small_tutorial() -> StepConfig {
    let unet = UnetConfig { channels: 2, multipliers: vec![1, 2], embedding: 4, groups: 0 };
    let twinflow = TwinFlowConfig {
        variant: Variant::WholeBatch,
        guidance_against: GuidanceAgainst::RandomClass,
        ..Default::default()
    };
    StepConfig {
        model: ModelConfig::Unet(unet),
        methods: of_twinflow(twinflow),
        data: DataSpec::labelled([4, 4, 1], 3),
        batch_size: 4,
        ..toy()
    }
}

/// A state whose parameters are all away from zero: layers that start at zero hide what lies before them.
fn state(trainer: &Trainer) -> State<HostArray> {
    let mut state = trainer.init(7);
    state.trained = map(&support::noise(&trainer.trained_spec(), 1.0), |_, array| {
        let values: Vec<f64> = array.to_f64().iter().map(|v| 0.4 * v).collect();
        HostArray::from_f64(array.ty().clone(), &values).unwrap()
    });
    state
}

fn batch(config: &StepConfig, trainer: &Trainer, rank: usize) -> Batch<HostArray> {
    let rows = trainers::rows(config, trainer, rank, 0);
    let sample = config.data.sample.iter().product::<usize>();
    // By row, so that any dealing out of the batch holds the same samples; each class has one.
    let pixel = |row: u32, i: usize| ((f64::from(row % 3) * 1.7 + i as f64).sin() * 0.8) as f32;
    let images: Vec<f32> = rows.iter().flat_map(|row| (0..sample).map(move |i| pixel(*row, i))).collect();
    let labels: Vec<i32> = rows.iter().map(|row| (*row % 3) as i32).collect();
    trainers::batch(config, trainer, &images, &labels, &rows)
}

/// Gradients, loss and terms of a rank, in one list.
fn gradients_of(config: &StepConfig, phase: usize, rank: usize) -> Vec<f64> {
    let trainer = Trainer::new(config.clone()).unwrap();
    let inputs = (state(&trainer), batch(config, &trainer, rank));
    let outputs = support::run(&inputs, |_, (state, batch)| {
        leaves(&trainer.gradients(phase, &state, &batch)).into_iter().copied().collect()
    });
    outputs.iter().flatten().copied().collect()
}

fn gradients(config: &StepConfig, phase: usize) -> Vec<f64> {
    gradients_of(config, phase, 0)
}

fn relative_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    norm(&mut a.iter().zip(b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied())
}

#[test]
fn micro_batches_make_the_whole_batch() {
    let cases = [(toy(), FLOW), (toy(), TWINFLOW), (small_tutorial(), TWINFLOW)];
    for (config, phase) in cases {
        let whole = gradients(&config, phase);
        let micro = gradients(&StepConfig { micro_batches: 2, ..config }, phase);
        let difference = relative_difference(&micro, &whole);
        assert!(whole.iter().all(|v| v.is_finite()) && difference < 1e-9, "phase {phase}: {difference}");
    }
}

#[test]
fn processes_make_the_whole_batch() {
    let whole = gradients(&toy(), TWINFLOW);
    let config = StepConfig { processes: 2, ..toy() };
    let trainer = Trainer::new(config.clone()).unwrap();
    let rows: Vec<u32> = (0..2).flat_map(|rank| trainers::rows(&config, &trainer, rank, 0)).collect();
    assert_eq!(rows, [0, 2, 4, 6, 1, 3, 5, 7]);
    let ranks = [0, 1].map(|rank| gradients_of(&config, TWINFLOW, rank));
    let mean: Vec<f64> = ranks[0].iter().zip(&ranks[1]).map(|(a, b)| (a + b) / 2.0).collect();
    assert!(relative_difference(&mean, &whole) < 1e-9);
}

#[test]
fn remat_changes_nothing() {
    let none = gradients(&small_dit(Remat::None), TWINFLOW);
    let blocks = gradients(&small_dit(Remat::Blocks), TWINFLOW);
    assert!(relative_difference(&blocks, &none) < 1e-12);
}

#[test]
fn gradients_reach_every_parameter() {
    for config in [small_dit(Remat::None), small_tutorial()] {
        let spec = Trainer::new(config.clone()).unwrap().trained_spec();
        let flat = gradients(&config, TWINFLOW);
        let mut start = 0;
        for (path, ty) in spec.paths().zip(spec.leaves()) {
            let end = start + ty.shape.elements();
            assert!(flat[start..end].iter().any(|v| *v != 0.0), "{path} has no gradient");
            start = end;
        }
    }
}

/// The state after one step, and its metrics as (loss, terms .., norm, rate, applied).
fn one_step(config: &StepConfig, phase: usize, state: &State<HostArray>, fused: bool) -> (State<HostArray>, Vec<f64>) {
    let trainer = Trainer::new(config.clone()).unwrap();
    let inputs = (state.clone(), batch(config, &trainer, 0));
    let outputs: Vec<ArrayD<f64>> = support::run(&inputs, |_, (state, batch)| {
        let (state, metrics) = if fused {
            trainer.step(phase, state, &batch)
        } else {
            let gradients = trainer.gradients(phase, &state, &batch);
            trainer.update(phase, state, &gradients)
        };
        leaves(&state).into_iter().chain(leaves(&metrics)).copied().collect()
    });
    let count = leaves(state).len();
    let metrics = outputs[count..].iter().map(|metric| metric.sum()).collect();
    (support::arrays(&trainer.state_spec(), &outputs[..count]), metrics)
}

fn start(config: &StepConfig) -> State<HostArray> {
    state(&Trainer::new(config.clone()).unwrap())
}

/// The last leaf of what TwinFlow keeps.
fn teacher_decay(state: &State<HostArray>) -> f64 {
    assert_eq!(state.method.paths().last().unwrap().as_str(), "teacher_decay");
    state.method.leaves().last().unwrap().to_f64()[0]
}

fn teacher(state: &State<HostArray>) -> &[HostArray] {
    &state.method.leaves()[..state.trained.leaves().len()]
}

#[test]
fn fused_step_is_gradients_then_update() {
    let start = start(&toy());
    let (fused, fused_metrics) = one_step(&toy(), TWINFLOW, &start, true);
    let (split, split_metrics) = one_step(&toy(), TWINFLOW, &start, false);
    assert_eq!(leaves(&fused), leaves(&split));
    assert_eq!(fused_metrics, split_metrics);
    let [loss, base, adv, rectify, gap, .., norm, rate, applied] = fused_metrics[..] else { panic!("eight metrics") };
    assert!((loss - base - adv - rectify).abs() < 1e-9 * loss && base > 0.0 && adv > 0.0 && rectify > 0.0);
    assert!(gap > 0.0 && norm > 0.0 && (rate - 0.01).abs() < 1e-9 && applied == 1.0);
    assert_eq!(fused.step, HostArray::scalar(1u32));
    assert_ne!(leaves(&fused.trained), leaves(&start.trained));
    // Decay 0.99 with warm-up: 0.495, then 0.495 + 0.505 * 0.495 / 2.
    assert!((teacher_decay(&fused) - 0.619_987_5).abs() < 1e-6);
}

#[test]
fn non_finite_gradients_leave_the_state_alone() {
    let mut start = start(&toy());
    let mut first = true;
    start.trained = map(&start.trained, |_, array| {
        let fill = std::mem::take(&mut first);
        let values: Vec<f64> = array.to_f64().iter().map(|v| if fill { f64::NAN } else { *v }).collect();
        HostArray::from_f64(array.ty().clone(), &values).unwrap()
    });
    let (next, metrics) = one_step(&toy(), TWINFLOW, &start, true);
    assert_eq!(metrics.last(), Some(&0.0), "not applied");
    assert_eq!(next.step, HostArray::scalar(1u32));
    assert_eq!(leaves(&next.optimizer), leaves(&start.optimizer));
    assert_eq!(leaves(&next.method), leaves(&start.method));
    assert_eq!(leaves(&next.trained)[1..], leaves(&start.trained)[1..]);
}

#[test]
fn phases_switch_and_the_teacher_starts_as_the_model() {
    let mut config = toy();
    config.methods.flow = FlowConfig { steps: 3, ..Default::default() };
    let trainer = Trainer::new(config.clone()).unwrap();
    assert_eq!([trainer.phase_at(2), trainer.phase_at(3)], [FLOW, TWINFLOW]);
    // What both phases have is listed once.
    let names = trainer.term_names();
    assert_eq!(names, trainer.phases()[TWINFLOW].method.terms());
    assert!(names.starts_with(&["loss_base", "loss_adversarial", "loss_rectify", "self_play_gap"]), "{names:?}");
    let start = start(&config);
    assert_eq!(start.phase, HostArray::scalar(0i32));
    let (trained, metrics) = one_step(&config, FLOW, &start, true);
    assert_eq!(leaves(&trained.method), leaves(&start.method));
    let [loss, base, _norm, _rate, applied] = metrics[..] else { panic!("one term") };
    assert_eq!((loss, applied), (base, 1.0));
    let outputs =
        support::run(&trained, |_, state| leaves(&trainer.begin(TWINFLOW, state)).into_iter().copied().collect());
    let switched: State<HostArray> = support::arrays(&trainer.state_spec(), &outputs);
    assert_eq!(switched.phase, HostArray::scalar(1i32));
    assert_eq!(teacher(&switched), trained.trained.leaves());
    assert_eq!(teacher_decay(&switched), f64::from(0.495f32));
}

#[test]
fn a_teacher_that_equals_the_model_teaches_what_the_model_itself_does() {
    let of = |teacher: TeacherKind, image_free: bool, is_model: bool| {
        let twinflow = TwinFlowConfig { teacher, image_free, order: 3, ..Default::default() };
        let config = StepConfig { methods: of_twinflow(twinflow), ..toy() };
        let trainer = Trainer::new(config.clone()).unwrap();
        let mut state = state(&trainer);
        if is_model && teacher != TeacherKind::Live {
            let decay = state.method.leaves().last().cloned();
            state.method = state.method.with_leaves(state.trained.leaves().iter().cloned().chain(decay));
        }
        let outputs = support::run(&(state, batch(&config, &trainer, 0)), |_, (state, batch)| {
            leaves(&trainer.gradients(TWINFLOW, &state, &batch)).into_iter().copied().collect()
        });
        outputs.iter().flatten().copied().collect::<Vec<f64>>()
    };
    for image_free in [false, true] {
        let live = of(TeacherKind::Live, image_free, true);
        assert!(relative_difference(&of(TeacherKind::Ema, image_free, true), &live) < 1e-12);
        for teacher in [TeacherKind::Ema, TeacherKind::Frozen] {
            let other = relative_difference(&of(teacher, image_free, false), &live);
            assert!(other > 1e-3 && other.is_finite(), "{teacher:?}, image_free {image_free}: {other}");
        }
        // Without data a frozen teacher's velocity takes the place of the samples'.
        let frozen = relative_difference(&of(TeacherKind::Frozen, image_free, true), &live);
        assert!(if image_free { frozen > 1e-3 } else { frozen < 1e-12 }, "image_free {image_free}: {frozen}");
    }
}

#[test]
fn frozen_parameters_stay_and_have_no_moments() {
    let freeze = ["class_embedding", "blocks/*/up", "bias"].map(str::to_owned).to_vec();
    let config = StepConfig { freeze, ..toy() };
    let trainer = Trainer::new(config.clone()).unwrap();
    let start = trainer.init(7);
    let frozen: Vec<&str> = start.frozen.paths().map(|path| path.as_str()).collect();
    let expected = |path: &&str| path.contains("class_embedding") || path.ends_with("bias") || path.contains("*/up/");
    assert!(frozen.len() > 4 && frozen.iter().all(expected), "{frozen:?}");
    let count = start.frozen.leaves().len() + start.trained.leaves().len();
    assert_eq!(count, trainer.parameter_spec().leaves().len());
    let kept = [&start.ema, &start.optimizer.first, start.optimizer.second.as_ref().unwrap()];
    for kept in kept {
        assert!(kept.paths().eq(start.trained.paths()));
    }
    let (next, _) = one_step(&config, TWINFLOW, &start, true);
    assert_eq!(leaves(&next.frozen), leaves(&start.frozen));
    assert_ne!(leaves(&next.trained), leaves(&start.trained));
    // The others' gradients are those of the whole network.
    let whole = Trainer::new(toy()).unwrap();
    let of = |config: &StepConfig, trainer: &Trainer| {
        let inputs = (trainer.init(7), batch(config, trainer, 0));
        let names: Vec<String> = trainer.trained_spec().paths().map(|path| path.to_string()).collect();
        let outputs = support::run(&inputs, |_, (state, batch)| {
            trainer.gradients(TWINFLOW, &state, &batch).params.leaves().to_vec()
        });
        names.into_iter().zip(outputs).collect::<std::collections::BTreeMap<_, _>>()
    };
    let all = of(&toy(), &whole);
    for (name, gradient) in of(&config, &trainer) {
        let difference = (&gradient - &all[&name]).mapv(f64::abs).sum();
        assert!(difference < 1e-12, "{name}: {difference}");
    }
}

#[test]
fn a_table_that_files_keep_among_the_parameters_is_not_trained() {
    let sd3 = Sd3Config { depth: 1, heads: 1, head_width: 4, pos_embed_max_size: 4, ..Default::default() };
    let sd3 = ModelConfig::Sd3(Sd3Config { dual_attention_layers: 0, ..sd3 });
    let data = DataSpec { text: Some(TextSpec { tokens: 3, width: 4 }), ..DataSpec::labelled([4, 4, 1], 3) };
    let start = Trainer::new(StepConfig { model: sd3, data, ..toy() }).unwrap().init(7);
    assert_eq!(start.frozen.paths().map(|path| path.as_str()).collect::<Vec<_>>(), ["positions"]);
    assert!(start.trained.paths().all(|path| path.as_str() != "positions"));
}

#[test]
fn patterns_that_freeze_nothing_or_everything_are_refused() {
    let message = |pattern: &str| {
        let config = StepConfig { freeze: vec![pattern.to_owned()], ..toy() };
        Trainer::new(config).err().unwrap().to_string()
    };
    let unknown = message("blok/*");
    assert!(unknown.starts_with("train.freeze: the pattern 'blok/*' matches no parameter"), "{unknown}");
    assert!(unknown.contains("blocks/*/up/weight"), "{unknown}");
    assert!(message("*").contains("leave at least one parameter to train"), "{}", message("*"));
    assert!(message("a//b").contains("none empty"), "{}", message("a//b"));
}

#[test]
fn training_lowers_the_flow_matching_loss() {
    let optimizer = OptimizerConfig { learning_rate: 0.03, ..toy().optimizer };
    let config = StepConfig { optimizer, batch_size: 16, ..toy() };
    let (mut state, mut losses) = (Trainer::new(config.clone()).unwrap().init(3), Vec::new());
    for _ in 0..30 {
        let (next, metrics) = one_step(&config, FLOW, &state, true);
        losses.push(metrics[0]);
        state = next;
    }
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    assert!(mean(&losses[20..]) < 0.8 * mean(&losses[..10]), "{losses:?}");
}
