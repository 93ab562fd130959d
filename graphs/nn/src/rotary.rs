//! Rotary position embedding (Su et al. 2021) over several axes.

use twinflow_array::HostArray;
use twinflow_compiler::{Tensor, Trace, concatenate};

use crate::time::frequencies;

/// One axis of positions: the channels of a head that turn with it, and how slowly the last of them does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RotaryAxis {
    /// Channels, an even number.
    pub channels: usize,
    /// Ratio of the fastest to the slowest frequency.
    pub theta: f64,
}

/// The angles of known positions: `positions[t][axis]` -> f32 `[t, k / 2]`, k the channels of all axes together, the
/// axes one after the other.
pub fn rotary_angles<'t, const A: usize>(
    trace: &'t Trace,
    positions: &[[i32; A]],
    axes: [RotaryAxis; A],
) -> Tensor<'t> {
    let frequencies = axes.map(|axis| frequencies(axis.channels / 2, axis.theta));
    let of_token = |position: &[i32; A]| -> Vec<f32> {
        let axes = position.iter().zip(&frequencies);
        axes.flat_map(|(&at, axis)| axis.iter().map(move |&f| at as f32 * f as f32)).collect()
    };
    let angles: Vec<f32> = positions.iter().flat_map(of_token).collect();
    let half = axes.iter().map(|axis| axis.channels / 2).sum();
    trace.constant(HostArray::from_slice([positions.len(), half], &angles).expect("an angle for each pair"))
}

/// Turns neighbouring channels (2i, 2i + 1) of x `[b, h, t, k]` by angles that broadcast to `[b, h, t, k / 2]`.
#[track_caller]
pub fn rotate_neighbours<'t>(x_bhtk: Tensor<'t>, angles: Tensor<'t>) -> Tensor<'t> {
    let (b, h, t, k) = (x_bhtk.dim(0), x_bhtk.dim(1), x_bhtk.dim(2), x_bhtk.dim(3));
    let pairs = x_bhtk.reshape([b, h, t, k / 2, 2]).split(-1, &[1; 2]);
    let [real, imaginary] = [pairs[0].squeeze(-1), pairs[1].squeeze(-1)];
    let (cos, sin) = (angles.cos(), angles.sin());
    let turned = [real * cos - imaginary * sin, real * sin + imaginary * cos];
    concatenate(&turned.map(|part| part.expand_dims(-1)), -1).reshape([b, h, t, k])
}
