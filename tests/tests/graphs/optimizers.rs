//! Optimizers, schedules and averages against plain f64 loops.

use twinflow_array::{HostArray, TensorType, Tree};
use twinflow_nn::Params;
use twinflow_training::optim::{Optimizer, OptimizerConfig, OptimizerKind, Schedule};

/// A parameter that is decayed and one that is not.
#[derive(Clone, Debug, Tree)]
struct TwoParams<L> {
    weight: L,
    bias: L,
}

fn spec() -> Params<TensorType> {
    Params::from_tree(TwoParams { weight: TensorType::f32([3]), bias: TensorType::f32([2]) })
}

/// The parameters after each of `steps` updates by the gradients `gradient(step)`.
fn trained(config: &OptimizerConfig, steps: u64, gradient: impl Fn(u64) -> [f64; 5]) -> Vec<Vec<f64>> {
    let optimizer = Optimizer::new(config.clone(), steps).unwrap();
    let to_params = |values: &[f64]| {
        let leaf = |values: &[f64]| HostArray::from_f64(TensorType::f32([values.len()]), values).unwrap();
        Params::from_tree(TwoParams { weight: leaf(&values[..3]), bias: leaf(&values[3..]) })
    };
    let inputs = (to_params(&START), (0..steps).map(|step| to_params(&gradient(step))).collect::<Vec<_>>());
    let state = optimizer.init(&spec());
    let outputs = crate::support::run(&(inputs, state), |trace, ((mut params, gradients), mut state)| {
        let mut outputs = Vec::new();
        for (step, gradient) in gradients.iter().enumerate() {
            let step = trace.scalar(twinflow_array::DType::U32, step as f64);
            let update = optimizer.update(step, &params, gradient, &state);
            (params, state) = (update.params, update.state);
            outputs.extend(params.leaves().iter().copied());
        }
        outputs
    });
    outputs.chunks(2).map(|pair| pair.iter().flatten().copied().collect()).collect()
}

const START: [f64; 5] = [0.5, -1.0, 2.0, 0.25, -0.75];

fn gradient(step: u64) -> [f64; 5] {
    std::array::from_fn(|i| (0.7 * step as f64 + i as f64).sin() + 0.1)
}

/// Adam and RAdam as their papers write them, one number at a time.
fn reference(config: &OptimizerConfig, steps: u64) -> Vec<f64> {
    let [beta_1, beta_2] = config.betas;
    let (mut param, mut m, mut v) = (START.map(|p| f64::from(p as f32)), [0.0; 5], [0.0; 5]);
    for n in 1..=steps {
        let power = |beta: f64| beta.powi(n as i32);
        let gradient = gradient(n - 1).map(|g| f64::from(g as f32));
        for i in 0..5 {
            let (g, lr) = (gradient[i], config.learning_rate);
            let decay = if i < 3 { config.weight_decay } else { 0.0 };
            if config.kind == OptimizerKind::Sgd {
                m[i] = config.momentum * m[i] + g + decay * param[i];
                param[i] -= lr * m[i];
                continue;
            }
            m[i] = beta_1 * m[i] + (1.0 - beta_1) * g;
            v[i] = beta_2 * v[i] + (1.0 - beta_2) * g * g;
            let (mean, root) = (m[i] / (1.0 - power(beta_1)), (v[i] / (1.0 - power(beta_2))).sqrt() + config.eps);
            let longest = 2.0 / (1.0 - beta_2) - 1.0;
            let length = longest - 2.0 * n as f64 * power(beta_2) / (1.0 - power(beta_2));
            let direction = match config.kind {
                OptimizerKind::RAdam if length <= 5.0 => mean,
                OptimizerKind::RAdam => {
                    let top = (length - 4.0) * (length - 2.0) * longest;
                    let bottom = (longest - 4.0) * (longest - 2.0) * length;
                    mean * (top / bottom).sqrt() / root
                }
                _ => mean / root,
            };
            param[i] = param[i] * (1.0 - lr * decay) - lr * direction;
        }
    }
    param.to_vec()
}

fn config(kind: OptimizerKind) -> OptimizerConfig {
    let (warmup_steps, clip_norm) = (0, 0.0);
    OptimizerConfig { kind, learning_rate: 0.05, weight_decay: 0.1, warmup_steps, clip_norm, ..Default::default() }
}

fn assert_close(actual: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len());
    for (a, b) in actual.iter().zip(expected) {
        assert!((a - b).abs() <= tolerance, "{actual:?} is not {expected:?}");
    }
}

#[test]
fn update_rules_match_plain_loops() {
    for kind in [OptimizerKind::AdamW, OptimizerKind::RAdam, OptimizerKind::Sgd] {
        let config = config(kind);
        let actual = trained(&config, 12, gradient);
        assert_close(&actual[11], &reference(&config, 12), 1e-6);
    }
}

#[test]
fn long_gradients_are_shortened_to_the_clip_norm() {
    let config = OptimizerConfig { clip_norm: 0.5, momentum: 0.0, weight_decay: 0.0, ..config(OptimizerKind::Sgd) };
    let actual = trained(&config, 1, |_| [3.0, 0.0, 0.0, 4.0, 0.0]);
    let step: Vec<f64> = START.iter().zip(&actual[0]).map(|(before, after)| (before - after) / 0.05).collect();
    assert_close(&step, &[0.3, 0.0, 0.0, 0.4, 0.0], 1e-5);
}

#[test]
fn schedule_warms_up_and_falls_by_half_a_cosine() {
    let config = OptimizerConfig {
        learning_rate: 1.0,
        min_learning_rate: 0.1,
        warmup_steps: 4,
        schedule: Schedule::Cosine,
        ..Default::default()
    };
    let steps = HostArray::from_slice([6], &[0u32, 3, 4, 8, 12, 20]).unwrap();
    let rates = crate::support::run(&steps, |_, steps| vec![config.learning_rate_at(steps, 12)]).swap_remove(0);
    assert_close(rates.as_slice().unwrap(), &[0.25, 1.0, 1.0, 0.55, 0.1, 0.1], 1e-12);
}
