//! The loss of the public tutorial against the same formulas on plain numbers.

use std::array::from_fn;

use twinflow_array::{HostArray, TensorType, Tree};
use twinflow_compiler::{Tensor, value_and_grad};
use twinflow_methods::twinflow::{
    LossKind, LossTerms, Parts, RectifyDraws, Teacher, TwinFlowConfig, TwinFlowDraws, TwinFlowLoss, Variant,
};
use twinflow_nn::{Condition, Denoiser, DenoiserInput, Init, Params};

const BATCH: usize = 5;
const WEIGHTS: usize = 6;

/// Samples of two numbers.
type Pair = [f64; 2];
type Weights = [f64; WEIGHTS];

/// `F = w0 x + w1 tanh(w2 x + w3 t + w4 r + w5 c)`, conditioned on a number.
struct SixWeights;

impl Denoiser for SixWeights {
    fn parameters(&self) -> Params<Init> {
        Params::from_tree(vec![Init::zeros([WEIGHTS])])
    }

    fn velocity<'t>(&self, params: &Params<Tensor<'t>>, input: &DenoiserInput<Tensor<'t>>) -> Tensor<'t> {
        let DenoiserInput { x, t, r, .. } = *input;
        let w: [Tensor<'t>; WEIGHTS] = from_fn(|i| params.leaves()[0].slice_dim(0, i, i + 1));
        let told = (w[3] * t + w[4] * r + w[5] * input.condition.labels_of(x)).expand_dims(-1);
        w[0] * x + w[1] * (w[2] * x + told).tanh()
    }
}

fn velocity(w: &Weights, x: Pair, t: f64, r: f64, c: f64) -> Pair {
    x.map(|x| w[0] * x + w[1] * (w[2] * x + w[3] * t + w[4] * r + w[5] * c).tanh())
}

/// One sample with its random numbers.
struct Sample {
    x: Pair,
    z: Pair,
    c: f64,
    t: f64,
    u: f64,
    rectify_z: Pair,
    rectify_t: f64,
}

fn config() -> TwinFlowConfig {
    TwinFlowConfig {
        variant: Variant::WholeBatch,
        loss: LossKind::L2,
        guidance: 0.5,
        rectify_weight: 0.7,
        rectify_clamp: 0.2,
        ..Default::default()
    }
}

fn add(a: Pair, factor: f64, b: Pair) -> Pair {
    from_fn(|i| a[i] + factor * b[i])
}

fn noised(x: Pair, z: Pair, t: f64) -> Pair {
    from_fn(|i| t * z[i] + (1.0 - t) * x[i])
}

fn distance(a: Pair, b: Pair) -> f64 {
    add(a, -1.0, b).iter().map(|d| d * d).sum::<f64>() / 2.0
}

/// The RCGM target of order 2.
fn rcgm_target(fixed: &Weights, teacher: &Weights, (x, v): (Pair, Pair), (t, r): (f64, f64), c: f64) -> Pair {
    let start = (t - 0.01).max(r);
    let (mut at, mut integral) = (add(x, -0.01, v), [0.0; 2]);
    let time = |i: usize| start + (r - start) * i as f64 / 2.0;
    for i in 0..2 {
        let step = velocity(teacher, at, time(i), time(i + 1), c).map(|f| f * (time(i) - time(i + 1)));
        (at, integral) = (add(at, -1.0, step), add(integral, 1.0, step));
    }
    let [a, b] = if t < r + 0.01 { [1.0, 1.0 / (t - r)] } else { [100.0 * (t - r), 100.0] };
    let prediction = velocity(fixed, x, t, r, c);
    from_fn(|i| prediction[i] - (a * prediction[i] - b * integral[i] - v[i]).clamp(-1.0, 1.0))
}

/// Base, adversarial and weighted rectify loss of a sample. Only `w` has a gradient; targets and fakes are made by
/// `fixed`, the same weights without one.
fn losses(w: &Weights, fixed: &Weights, teacher: &Weights, sample: &Sample) -> [f64; 3] {
    let Sample { x, z, c, t, u, rectify_z, rectify_t } = *sample;
    let (r, x_t) = (t - u * t, noised(x, z, t));
    let guidance = add(velocity(teacher, x_t, t, t, c), -1.0, velocity(teacher, x_t, t, t, 0.0));
    let v = add(add(z, -1.0, x), 0.5, guidance);
    let any_step = distance(velocity(w, x_t, t, r, c), rcgm_target(fixed, teacher, (x_t, v), (t, r), c));
    let one_step = distance(velocity(w, z, 1.0, 0.0, c), rcgm_target(fixed, teacher, (z, v), (1.0, 0.0), c));
    let own_time = distance(velocity(w, x_t, t, t, c), v);
    let fake = add(z, -1.0, velocity(fixed, z, 1.0, 0.0, c));
    let adv = distance(velocity(w, noised(fake, z, t), -t, -t, c), add(z, -1.0, fake));
    let (s, x_s) = (rectify_t, noised(fake, rectify_z, rectify_t));
    let difference = add(velocity(fixed, x_s, s, s, c), -1.0, velocity(fixed, x_s, -s, -s, c));
    let target = add(velocity(fixed, z, 1.0, 0.0, c), 1.0, difference.map(|d| d.clamp(-0.2, 0.2)));
    [any_step + one_step + own_time, adv, 0.7 * distance(velocity(w, z, 1.0, 0.0, c), target)]
}

#[derive(Clone, Debug, Tree)]
struct Inputs<L> {
    params: Params<L>,
    teacher: Params<L>,
    samples: L,
    condition: L,
    draws: TwinFlowDraws<L>,
}

fn inputs() -> Inputs<HostArray> {
    let of_batch = TensorType::f32([BATCH]);
    let pairs = TensorType::f32([BATCH, 2]);
    let uniform = |values: [f32; BATCH]| HostArray::from_slice([BATCH], &values).unwrap();
    let weights = |seed| Params::from_tree(vec![crate::support::noise(&TensorType::f32([WEIGHTS]), seed)]);
    Inputs {
        params: weights(1.0),
        teacher: weights(2.0),
        samples: crate::support::noise(&pairs, 3.0),
        condition: crate::support::noise(&of_batch, 4.0),
        draws: TwinFlowDraws {
            time: uniform([0.9, 0.5, 0.3, 0.7, 0.2]),
            // The last two target times lie within the first step of 0.01.
            any_target: uniform([0.8, 0.3, 0.9, 0.01, 0.002]),
            mul_target: crate::support::noise(&of_batch, 5.0),
            image_free: None,
            fake: None,
            noise: crate::support::noise(&pairs, 6.0),
            rectify: Some(RectifyDraws {
                noise: crate::support::noise(&pairs, 7.0),
                time: uniform([0.1, 0.4, 0.6, 0.8, 0.95]),
            }),
        },
    }
}

fn samples(inputs: &Inputs<HostArray>) -> Vec<Sample> {
    let rectify = inputs.draws.rectify.as_ref().unwrap();
    let number = |array: &HostArray, i: usize| array.to_f64()[i];
    let pair = |array: &HostArray, i: usize| [number(array, 2 * i), number(array, 2 * i + 1)];
    (0..BATCH)
        .map(|i| Sample {
            x: pair(&inputs.samples, i),
            z: pair(&inputs.draws.noise, i),
            c: number(&inputs.condition, i),
            t: number(&inputs.draws.time, i),
            u: number(&inputs.draws.any_target, i),
            rectify_z: pair(&rectify.noise, i),
            rectify_t: number(&rectify.time, i),
        })
        .collect()
}

fn weights(params: &Params<HostArray>) -> Weights {
    params.leaves()[0].to_f64().try_into().unwrap()
}

#[test]
fn terms_and_gradient_are_those_of_the_formulas() {
    let inputs = inputs();
    let parts = Parts::new(config().part_shares(), BATCH).unwrap();
    let outputs = crate::support::run(&inputs, |_, inputs| {
        let loss = TwinFlowLoss { denoiser: &SixWeights, config: &config(), parts };
        let ((loss, terms), gradient) = value_and_grad(&inputs.params, |params: Params<Tensor<'_>>| {
            let condition = |number| Condition::of_labels(number);
            let conditions = (&condition(inputs.condition), &condition(inputs.condition.zeros_like()));
            let teacher = Teacher::Average(&inputs.teacher);
            let terms = loss.of_whole_batch(&params, teacher, inputs.samples, conditions, &inputs.draws);
            (terms.total(), terms)
        });
        let LossTerms { base, adv, rectify, .. } = terms;
        vec![loss, base, adv, rectify, gradient.leaves()[0]]
    });
    let (samples, fixed, teacher) = (samples(&inputs), weights(&inputs.params), weights(&inputs.teacher));
    let terms = |w: &Weights| {
        let of_samples = samples.iter().map(|sample| losses(w, &fixed, &teacher, sample));
        of_samples.fold([0.0; 3], |sum, terms| from_fn(|i| sum[i] + terms[i] / BATCH as f64))
    };
    let [base, adv, rectify] = terms(&fixed);
    let expected = [base + adv + rectify, base, adv, rectify];
    // Constants of the program, such as the first step of 0.01, are f32.
    for (output, expected) in outputs.iter().zip(expected) {
        assert!((output.sum() - expected).abs() < 1e-6 && expected > 1e-3, "{output}, expected {expected}");
    }
    for (i, slope) in outputs[4].iter().enumerate() {
        let at = |step: f64| {
            let mut moved = fixed;
            moved[i] += step;
            terms(&moved).iter().sum::<f64>()
        };
        let numeric = (at(1e-5) - at(-1e-5)) / 2e-5;
        assert!((slope - numeric).abs() < 1e-6, "weight {i}: {slope}, {numeric}");
    }
}
