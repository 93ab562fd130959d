//! The straight path between data x and noise z: `x_t = t z + (1 - t) x`, so t = 1 is noise and t = 0 is data.

use twinflow_compiler::Tensor;

/// A value per sample, `[b]`, in a shape that multiplies samples `[b, ..]` of the rank of `x`.
#[track_caller]
pub fn per_sample<'t>(value: Tensor<'t>, x: Tensor<'t>) -> Tensor<'t> {
    let dims: Vec<usize> = (0..x.rank()).map(|dim| if dim == 0 { value.dim(0) } else { 1 }).collect();
    value.reshape(dims)
}

/// `x_t = t z + (1 - t) x`; t f32 `[b]` in [0, 1].
#[track_caller]
pub fn interpolate<'t>(x: Tensor<'t>, z: Tensor<'t>, t: Tensor<'t>) -> Tensor<'t> {
    let t = per_sample(t, x);
    t * z + (1.0 - t) * x
}

/// The data that a velocity at x_t points to: `x_hat = x_t - |t| v`.
#[track_caller]
pub fn clean_estimate<'t>(x_t: Tensor<'t>, t: Tensor<'t>, velocity: Tensor<'t>) -> Tensor<'t> {
    x_t - per_sample(t.abs(), x_t) * velocity
}

/// The noise that a velocity at x_t comes from: `z_hat = x_t + (1 - |t|) v`.
#[track_caller]
pub fn noise_estimate<'t>(x_t: Tensor<'t>, t: Tensor<'t>, velocity: Tensor<'t>) -> Tensor<'t> {
    x_t + per_sample(1.0 - t.abs(), x_t) * velocity
}
