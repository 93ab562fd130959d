//! Derivatives of functions: composed, repeated, stopped.

use twinflow_array::{DType, HostArray};
use twinflow_compiler::{Tensor, grad, jvp, trace, value_and_grad, vjp, while_loop};
use twinflow_tests::{
    Tolerance,
    gradients::{checked_gradient, traced},
    xla,
};

use crate::{arrays, types};

/// A two-layer network's loss with most kinds of operations in it.
fn network<'t>(x: Vec<Tensor<'t>>) -> Tensor<'t> {
    let [input, weight, bias, out] = x[..] else { panic!("four tensors") };
    let hidden = (input.matmul(weight) + bias).gelu();
    let normal = (hidden - hidden.mean_keep(&[-1])) * (hidden.square().mean_keep(&[-1]) + 0.1).rsqrt();
    normal.matmul(out).log_softmax(-1).mean(&[0]).square().sum_all()
}

#[test]
fn a_network_has_the_right_gradient() {
    checked_gradient(&arrays(&[&[3, 4], &[4, 5], &[5], &[5, 2]]), network);
}

#[test]
fn a_tensor_used_twice_gets_both_cotangents() {
    let gradient = checked_gradient(&arrays(&[&[3]]), |x| (x[0] * x[0] * x[0] + x[0].sin() * x[0]).sum_all());
    assert_eq!(gradient.len(), 1);
}

#[test]
fn integer_arguments_have_zero_derivatives_and_do_not_disturb() {
    let mut inputs = arrays(&[&[3]]);
    inputs.push(HostArray::from_slice([3], &[2i32, 0, 5]).unwrap());
    let gradient = checked_gradient(&inputs, |x| (x[0].sin() * x[1].convert(DType::F64) + x[0]).sum_all());
    assert_eq!(gradient[1], [0.0; 3]);
}

#[test]
fn tangents_of_integers_count_nothing() {
    let inputs = [HostArray::scalar(2.0), HostArray::scalar(3i32), HostArray::scalar(1.0), HostArray::scalar(1i32)];
    let program = traced(&types(&inputs), |x| {
        let (point, tangent) = ((x[0], x[1]), (x[2], x[3]));
        vec![jvp(&point, &tangent, |(x, n)| x * n.convert(DType::F64)).1]
    });
    assert_eq!(xla::run_checked(&program, &inputs, Tolerance::Exact).concat(), [3.0]);
}

#[test]
fn gradients_can_be_derived_again() {
    // Of the gradient's product with a vector: a Hessian-vector product.
    checked_gradient(&arrays(&[&[3, 4], &[4, 5], &[5], &[5, 2]]), |x| {
        let gradient = grad(&x, network);
        gradient.iter().map(|g| g.square().sum_all()).reduce(|a, b| a + b).unwrap()
    });
}

fn energy(x: Tensor<'_>) -> Tensor<'_> {
    (x.square().sum_all().exp() * x.sin()).sum_all()
}

#[test]
fn forward_over_reverse_equals_reverse_over_reverse() {
    let inputs = arrays(&[&[4], &[4]]);
    let program = traced(&types(&inputs), |x| {
        let [at, direction] = x[..] else { panic!("two tensors") };
        let forward = jvp(&at, &direction, |x| grad(&x, energy)).1;
        let reverse = grad(&at, |x| (grad(&x, energy) * direction).sum_all());
        vec![forward, reverse]
    });
    let outputs = xla::run_checked(&program, &inputs, Tolerance::F64);
    Tolerance::F64.assert(&outputs[0], &outputs[1]);
}

#[test]
fn third_derivatives_of_a_power() {
    let program = traced(&types(&arrays(&[&[]])), |x| vec![grad(&x[0], |x| grad(&x, |x| grad(&x, |x| x * x * x * x)))]);
    let outputs = xla::run_checked(&program, &[HostArray::scalar(1.5)], Tolerance::F64);
    Tolerance::F64.assert(&outputs[0], &[24.0 * 1.5]);
}

#[test]
fn stop_gradient_stops_both_modes() {
    let inputs = [HostArray::scalar(0.7), HostArray::scalar(1.0)];
    let program = traced(&types(&inputs), |x| {
        vec![
            grad(&x[0], |x| x * (x * 3.0).stop_gradient()),
            jvp(&x[0], &x[1], |x| x * (x * 3.0).stop_gradient()).1,
            grad(&x[0], |x| (x * 2.0).stop_gradient()),
        ]
    });
    let outputs = xla::run_checked(&program, &inputs, Tolerance::F64).concat();
    Tolerance::F64.assert(&outputs, &[2.1, 2.1, 0.0]);
}

#[test]
fn only_the_arguments_are_derived_for() {
    // The second use of x goes past the argument: it counts as a constant.
    let inputs = [HostArray::scalar(3.0)];
    let program = traced(&types(&inputs), |x| vec![grad(&x[0], |inside| inside * x[0])]);
    assert_eq!(xla::run_checked(&program, &inputs, Tolerance::Exact).concat(), [3.0]);
}

#[test]
fn a_pullback_is_linear_and_can_be_applied_twice() {
    let inputs = arrays(&[&[2, 3], &[3, 2], &[2, 2], &[2, 2]]);
    let program = traced(&types(&inputs), |x| {
        let (_, pullback) = vjp(&vec![x[0], x[1]], |x| x[0].matmul(x[1]).tanh());
        let [a, b, both] = [x[2], x[3], x[2] * 2.0 - x[3]].map(|v| pullback.apply(&v));
        vec![a[0] * 2.0 - b[0], both[0], a[1] * 2.0 - b[1], both[1]]
    });
    let outputs = xla::run_checked(&program, &inputs, Tolerance::F64);
    Tolerance::F64.assert(&outputs[0], &outputs[1]);
    Tolerance::F64.assert(&outputs[2], &outputs[3]);
}

#[test]
fn value_and_grad_hands_out_the_value_and_what_else_there_is() {
    let inputs = [HostArray::scalar(3.0)];
    let program = traced(&types(&inputs), |x| {
        let ((value, square), gradient) = value_and_grad(&x[0], |x| (x * x * 2.0, x * x));
        vec![value, square, gradient]
    });
    assert_eq!(xla::run_checked(&program, &inputs, Tolerance::Exact).concat(), [18.0, 9.0, 12.0]);
}

#[test]
fn a_while_loop_that_derivatives_do_not_pass_is_no_obstacle() {
    let inputs = arrays(&[&[3]]);
    checked_gradient(&inputs, |x| {
        let count = while_loop(&x[0].trace().scalar(DType::I32, 0.0), |i| i.lt(5.0), |i| i + 1.0);
        (x[0].sin() * count.convert(DType::F64)).sum_all()
    });
}

#[test]
fn the_gradient_of_something_else_than_a_float_scalar_is_an_error() {
    let traced = trace(|t| {
        let x = t.full(crate::f64s(&[2]), 1.0);
        grad(&x, |x| x * 2.0);
    });
    let message = traced.unwrap_err().to_string();
    assert!(message.starts_with("grad: the function's value is f64[2], not a float scalar"), "{message}");
}
