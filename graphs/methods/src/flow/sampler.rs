//! The sampler of any-step models: a loop of network calls whose times are data, so that its program does not grow with
//! their number (UCGM, arXiv 2505.07447).

use twinflow_array::{DType, HostArray, Shape, TensorType, Tree, leaves, unflatten};
use twinflow_compiler::{Key, Tensor, Trace, concatenate, scan};
use twinflow_nn::{Condition, Denoiser, DenoiserInput, Params};

use crate::{
    Draw,
    flow::{SampleConfig, SampleStep, clean_estimate, noise_estimate, sample_steps},
};

const SAMPLE_START: Draw = Draw::named("sample_start");
const SAMPLE_NOISE: Draw = Draw::named("sample_noise");

/// What samples show, and what they are led away from where `guidance` is not 1.
#[derive(Clone, Debug, Tree)]
pub struct Guided<L> {
    /// Of each sample, `[b, ..]`.
    #[tree(name = "")]
    pub condition: Condition<L>,
    /// "No condition", or what samples are not to show: `[1, ..]`, with the same fields where there is guidance.
    pub null: Condition<L>,
}

impl<L> From<Condition<L>> for Guided<L> {
    /// Without guidance.
    fn from(condition: Condition<L>) -> Self {
        Guided { condition, null: Condition::default() }
    }
}

/// Where fresh noise comes from when `stochastic_ratio` is above 0.
#[derive(Clone, Copy)]
pub enum Noise<'t> {
    /// Given for each step, `[steps, b, ..]`.
    Given(Tensor<'t>),
    /// Drawn for the samples with these row numbers, u32 `[b]`.
    Drawn {
        /// Made of the seed; with row and step it decides each draw.
        key: Key<'t>,
        /// Number of each sample, u32 `[b]`.
        rows: Tensor<'t>,
    },
}

/// What the sampler makes.
#[derive(Clone, Debug, Tree)]
pub struct Samples<L> {
    /// The finished samples `[b, ..]`.
    pub last: L,
    /// The estimate of the finished sample after each step, `[steps, b, ..]`.
    pub trajectory: L,
}

/// The steps' times as tensors; seen inside the loop, each is a scalar.
#[derive(Clone, Debug, Tree)]
struct Steps<L> {
    t: L,
    next: L,
    r: L,
    /// 0 until two calls were made, then the extrapolation ratio.
    extrapolation: L,
    /// Number of the step, u32.
    number: L,
}

/// What goes from step to step.
#[derive(Clone, Debug, Tree)]
struct Position<L> {
    x: L,
    /// Clean and noise estimates of the last call, as the network gave them.
    estimates: (L, L),
}

/// Samples f32 `[b, ..]` of the shape `sample`, about in [-1, 1], that show `condition`.
///
/// `rows` (u32 `[b]`) number the samples: each sample's noise depends on its number and the key alone.
pub fn draw_samples<'t>(
    denoiser: &dyn Denoiser,
    config: &SampleConfig,
    params: &Params<Tensor<'t>>,
    sample_shape: &Shape,
    condition: &Guided<Tensor<'t>>,
    (key, rows): (Key<'t>, Tensor<'t>),
) -> Tensor<'t> {
    let z = SAMPLE_START.normal(key, rows, sample_shape);
    sample(denoiser, config, params, z, condition, Noise::Drawn { key, rows }).last
}

/// Samples from noise `z` `[b, ..]`: network calls along [`sample_steps`].
///
/// First order: `x' = (1 - t') x_hat + t' (z_hat sqrt(1 - rho) + noise sqrt(rho))`, with rho the stochastic ratio.
/// Second order: Heun's rule `x' = x + (t' - t) (F + F') / 2`. The last clean estimate is the sample.
pub fn sample<'t>(
    denoiser: &dyn Denoiser,
    config: &SampleConfig,
    params: &Params<Tensor<'t>>,
    z: Tensor<'t>,
    condition: &Guided<Tensor<'t>>,
    noise: Noise<'t>,
) -> Samples<Tensor<'t>> {
    let steps = steps(z.trace(), config);
    let start = Position { x: z, estimates: (z, z.zeros_like()) };
    let sampler = Sampler { denoiser, config, params, condition, noise };
    let (end, trajectory) = scan(&start, &steps, |position: Position<Tensor<'t>>, step: Steps<Tensor<'t>>| {
        let position =
            if config.second_order { sampler.heun(&position, &step) } else { sampler.euler(&position, &step) };
        let estimate = position.estimates.0;
        (position, estimate)
    });
    Samples { last: end.estimates.0, trajectory }
}

fn steps<'t>(trace: &'t Trace, config: &SampleConfig) -> Steps<Tensor<'t>> {
    let list = sample_steps(config);
    let table = |dtype, value: &dyn Fn(usize, &SampleStep) -> f64| {
        let values: Vec<f64> = list.iter().enumerate().map(|(i, step)| value(i, step)).collect();
        let ty = TensorType::new(dtype, [list.len()]);
        trace.constant(HostArray::from_f64(ty, &values).expect("one value per step"))
    };
    Steps {
        t: table(DType::F32, &|_, step| step.t),
        next: table(DType::F32, &|_, step| step.next),
        r: table(DType::F32, &|_, step| step.r),
        extrapolation: table(DType::F32, &|i, _| if i < 2 { 0.0 } else { config.extrapolation }),
        number: table(DType::U32, &|i, _| i as f64),
    }
}

/// What every step shares.
struct Sampler<'a, 't> {
    denoiser: &'a dyn Denoiser,
    config: &'a SampleConfig,
    params: &'a Params<Tensor<'t>>,
    condition: &'a Guided<Tensor<'t>>,
    noise: Noise<'t>,
}

impl<'t> Sampler<'_, 't> {
    fn euler(&self, position: &Position<Tensor<'t>>, step: &Steps<Tensor<'t>>) -> Position<Tensor<'t>> {
        let (x, t) = (position.x, for_each(step.t, position.x));
        let velocity = self.velocity(x, step.t, step.r);
        let raw = (clean_estimate(x, t, velocity), noise_estimate(x, t, velocity));
        let (mut clean, mut noise) = raw;
        if self.config.extrapolation != 0.0 {
            clean = clean + step.extrapolation * (clean - position.estimates.0);
            noise = noise + step.extrapolation * (noise - position.estimates.1);
        }
        let x = (1.0 - step.next) * clean + step.next * self.refresh(noise, step);
        Position { x, estimates: raw }
    }

    /// Both slopes count as a network call; the second is taken at the end that the first predicts.
    fn heun(&self, position: &Position<Tensor<'t>>, step: &Steps<Tensor<'t>>) -> Position<Tensor<'t>> {
        let (x, width) = (position.x, step.next - step.t);
        let slope = self.velocity(x, step.t, step.t);
        let end_slope = self.velocity(x + width * slope, step.next, step.next);
        let x = x + width * 0.5 * (slope + end_slope);
        Position { x, estimates: (x, position.estimates.1) }
    }

    fn velocity(&self, x: Tensor<'t>, t: Tensor<'t>, r: Tensor<'t>) -> Tensor<'t> {
        let Guided { condition, null } = self.condition;
        let velocity = |x: Tensor<'t>, condition: Condition<Tensor<'t>>| {
            let (t, r) = (for_each(t, x), for_each(r, x));
            self.denoiser.velocity(self.params, &DenoiserInput { x, t, r, condition })
        };
        if self.config.guidance == 1.0 {
            return velocity(x, condition.clone());
        }
        // Both in one call of twice the samples: v = v_null + g (v_condition - v_null).
        let both = leaves(condition)
            .into_iter()
            .zip(leaves(null))
            .map(|(of_samples, null)| concatenate(&[*of_samples, null.broadcast_to(of_samples.shape())], 0));
        let both = velocity(concatenate(&[x, x], 0), unflatten(condition, both.collect::<Vec<_>>()));
        let [conditional, unconditional] = both.split(0, &[x.dim(0); 2])[..] else { unreachable!("two parts") };
        unconditional + self.config.guidance * (conditional - unconditional)
    }

    /// The noise estimate with the stochastic ratio's share of it replaced by fresh noise.
    fn refresh(&self, estimate: Tensor<'t>, step: &Steps<Tensor<'t>>) -> Tensor<'t> {
        let ratio = self.config.stochastic_ratio;
        if ratio == 0.0 {
            return estimate;
        }
        let sample = estimate.shape()[1..].into();
        let fresh = match self.noise {
            Noise::Given(of_steps) => of_steps.take(step.number),
            Noise::Drawn { key, rows } => SAMPLE_NOISE.normal(key.fold_in(step.number), rows, &sample),
        };
        estimate * (1.0 - ratio).sqrt() + fresh * ratio.sqrt()
    }
}

/// A scalar, once for each sample of `x`: `[b]`.
fn for_each<'t>(scalar: Tensor<'t>, x: Tensor<'t>) -> Tensor<'t> {
    scalar.broadcast_to([x.dim(0)])
}
