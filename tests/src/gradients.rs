//! Gradients of traced functions, checked from all sides.

use twinflow_array::{HostArray, TensorType};
use twinflow_compiler::{Program, Tensor, grad, jvp, trace};

use crate::{
    Tolerance,
    values::{dot, scattered},
    xla,
};

/// A scalar function of tensors.
pub trait Scalar: for<'t> Fn(Vec<Tensor<'t>>) -> Tensor<'t> {}

impl<F: for<'t> Fn(Vec<Tensor<'t>>) -> Tensor<'t>> Scalar for F {}

/// The program that computes `f` and its gradient for all inputs.
///
/// # Panics
/// If it cannot be traced.
#[track_caller]
pub fn gradient_program(types: &[TensorType], f: impl Scalar) -> Program {
    traced(types, |x| grad(&x, &f))
}

/// The program of a function from tensors to tensors.
///
/// # Panics
/// If it cannot be traced.
#[track_caller]
pub fn traced(types: &[TensorType], f: impl for<'t> Fn(Vec<Tensor<'t>>) -> Vec<Tensor<'t>>) -> Program {
    let result = trace(|t| {
        let x: Vec<Tensor<'_>> = t.inputs("", &types.to_vec());
        t.outputs("", &f(x));
    });
    result.unwrap_or_else(|error| panic!("{error}")).0
}

/// The gradient of `f` at `inputs` by XLA, once it agrees with the reference interpreter, with central differences,
/// and with forward mode; one array per input, of which those of integers are zero.
///
/// # Panics
/// If they do not agree.
#[track_caller]
pub fn checked_gradient(inputs: &[HostArray], f: impl Scalar) -> Vec<Vec<f64>> {
    let types: Vec<TensorType> = inputs.iter().map(|input| input.ty().clone()).collect();
    let gradient = xla::run_checked(&gradient_program(&types, &f), inputs, Tolerance::F64);
    let numeric = central_differences(&traced(&types, |x| vec![f(x)]), inputs);
    for (analytic, numeric) in gradient.iter().zip(&numeric) {
        Tolerance::Derivative.assert(analytic, numeric);
    }
    let tangents: Vec<HostArray> = types.iter().enumerate().map(|(i, ty)| scattered(ty, 7 + i)).collect();
    let both: Vec<TensorType> = [&types[..], &types].concat();
    let forward = traced(&both, |all| {
        let (x, x_dot) = all.split_at(types.len());
        vec![jvp(&x.to_vec(), &x_dot.to_vec(), &f).1]
    });
    let slope = xla::run_checked(&forward, &[inputs, &tangents].concat(), Tolerance::F64).concat();
    let terms: Vec<f64> = gradient.iter().zip(&tangents).map(|(g, x_dot)| dot(g, &x_dot.to_f64())).collect();
    let scale = terms.iter().fold(0.0, |max: f64, term| max.max(term.abs()));
    Tolerance::F64.assert(&[slope[0], scale], &[terms.iter().sum(), scale]);
    gradient
}

/// The gradient of a program's only output by fourth-order central differences; zeros for integer inputs.
fn central_differences(program: &Program, inputs: &[HostArray]) -> Vec<Vec<f64>> {
    const STEP: f64 = 1e-3;
    let at = |input: usize, element: usize, step: f64| {
        let mut inputs = inputs.to_vec();
        let mut values = inputs[input].to_f64();
        values[element] += step;
        inputs[input] = HostArray::from_f64(inputs[input].ty().clone(), &values).expect("as many values as before");
        xla::reference(program, &inputs)[0][0]
    };
    let slope = |i: usize, e: usize| {
        let difference = |step: f64| at(i, e, step) - at(i, e, -step);
        (8.0 * difference(STEP) - difference(2.0 * STEP)) / (12.0 * STEP)
    };
    let elements = |i: usize| inputs[i].shape().elements();
    let is_float = |i: usize| inputs[i].dtype().is_float();
    (0..inputs.len()).map(|i| (0..elements(i)).map(|e| if is_float(i) { slope(i, e) } else { 0.0 }).collect()).collect()
}
