//! Convolutions of each channel by a kernel of its own, as sums of shifted inputs. XLA's CPU code makes a product of
//! matrices for every channel and its kernel, many times slower than a few passes over the memory.

use ndarray::{Dimension, IxDyn};
use twinflow_array::TensorType;

use super::{barrier::optimization_barrier, conv_config::ConvConfig, prelude::*};
use crate::indexing::concatenate;

/// The largest number of elements of a kernel that are written out.
const MOST_TAPS: usize = 32;

/// Whether `config` convolves each channel of `x` by itself, at every pixel, by a kernel of a few elements.
pub(super) fn is_depthwise(config: &ConvConfig, x: &[usize], w: &[usize]) -> bool {
    let (channels, spatial) = (x[x.len() - 1], w.len() - 2);
    let steps = [&config.strides, &config.lhs_dilation, &config.rhs_dilation];
    let dense = steps.into_iter().flatten().all(|&step| step == 1);
    let own = config.groups == channels && channels > 1 && w[spatial..] == [1, channels];
    dense && own && w[..spatial].iter().product::<usize>() <= MOST_TAPS
}

/// The places of a kernel's elements, in row-major order.
fn taps(w: &[usize]) -> Vec<Vec<usize>> {
    ndarray::indices(IxDyn(&w[..w.len() - 2])).into_iter().map(|tap| tap.slice().to_vec()).collect()
}

/// `0`, the tap, `0`: where the part of the padded input starts that a tap sees.
fn start(tap: &[usize]) -> Vec<usize> {
    [&[0], tap, &[0]].concat()
}

/// The StableHLO of a depthwise convolution of operands rounded to the type that they are multiplied in, summed in
/// `ty`'s. Padded input and sum are made once each: XLA would put an expression of elements into every loop that reads
/// it, and convert the operands anew at every tap.
pub(super) fn lower(config: &ConvConfig, [x, w]: [&Value; 2], ty: &TensorType, block: &mut Block) -> Value {
    let x = block.convert(x, ty.dtype);
    let x = padded(config, &x, block);
    let w = match w.ty.dtype == ty.dtype {
        true => w.clone(),
        false => block.apart(&[w], &w.ty.with_dtype(ty.dtype), |w, block| block.convert(&w[0], ty.dtype)),
    };
    block.apart(&[&x, &w], ty, |operands, block| shifted_sums([&operands[0], &operands[1]], ty, block))
}

/// The sum over the kernel's elements of what each sees times it.
fn shifted_sums([x, w]: [&Value; 2], ty: &TensorType, block: &mut Block) -> Value {
    let channel = ty.shape.rank() - 1;
    let terms = taps(&w.ty.shape).into_iter().map(|tap| {
        let seen = slice(x, &start(&tap), &ty.shape, block);
        let size: Vec<usize> = [&vec![1; tap.len()][..], &[1, ty.shape[channel]]].concat();
        let weight = slice(w, &[&tap[..], &[0, 0]].concat(), &size, block);
        let weight = block.call("stablehlo.reshape", &[&weight], "", &w.ty.with_shape([ty.shape[channel]]));
        let weight = block.call("stablehlo.broadcast_in_dim", &[&weight], &format!(", dims = [{channel}]"), ty);
        block.binary("stablehlo.multiply", &seen, &weight, ty)
    });
    let terms: Vec<Value> = terms.collect();
    let (first, others) = terms.split_first().expect("a kernel has elements");
    others.iter().fold(first.clone(), |sum, term| block.binary("stablehlo.add", &sum, term, ty))
}

/// The input with its padding, made once: in one loop with the sums each element would ask whether it is padding.
fn padded(config: &ConvConfig, x: &Value, block: &mut Block) -> Value {
    let list =
        |side: fn(&(i64, i64)) -> i64| [&[0], &config.padding.iter().map(side).collect::<Vec<_>>()[..], &[0]].concat();
    let (low, high) = (list(|dim| dim.0), list(|dim| dim.1));
    let sizes =
        x.ty.shape.iter().zip(low.iter().zip(&high)).map(|(&size, (low, high))| (size as i64 + low + high) as usize);
    let ty = x.ty.with_shape(sizes.collect::<Vec<_>>());
    let zero = block.splat(&ty.with_shape([]), 0.0);
    let interior = vec![0; low.len()];
    let attributes = format!(", low = {low:?}, high = {high:?}, interior = {interior:?}");
    let padded = block.call("stablehlo.pad", &[x, &zero], &attributes, &ty);
    block.unary("stablehlo.optimization_barrier", &padded, &ty)
}

/// The part of `size` at `start`.
fn slice(x: &Value, start: &[usize], size: &[usize], block: &mut Block) -> Value {
    let ranges: Vec<String> = start.iter().zip(size).map(|(start, size)| format!("{start}:{}", start + size)).collect();
    block.call("stablehlo.slice", &[x], &format!(" [{}]", ranges.join(", ")), &x.ty.with_shape(size.to_vec()))
}

/// The kernel's cotangent: for each of its elements the sum over all pixels of y_bar times what that element saw.
pub(super) fn kernel_cotangent<'t>(config: &ConvConfig, x: Tensor<'t>, w: Tensor<'t>, y_bar: Tensor<'t>) -> Tensor<'t> {
    let (y_shape, w_shape) = (y_bar.shape(), w.shape());
    let pixels: Vec<usize> = (0..y_shape.rank() - 1).collect();
    let around = config.padding.iter().map(|&(low, high)| (low, high, 0));
    let dims: Vec<_> = [(0, 0, 0)].into_iter().chain(around).chain([(0, 0, 0)]).collect();
    let tied = optimization_barrier(&[x.pad(0.0, &dims), y_bar]);
    let sums = taps(&w_shape).into_iter().map(|tap| {
        let start = start(&tap);
        let limits: Vec<usize> = start.iter().zip(y_shape.iter()).map(|(start, size)| start + size).collect();
        (tied[0].slice(&start, &limits) * tied[1]).reduce_sum(&pixels)
    });
    concatenate(&sums.collect::<Vec<_>>(), 0).reshape(w_shape)
}
