//! Sorting and what is made of it; running sums; transposed convolutions: the methods beyond the bare operations.

use twinflow_array::{DType, HostArray, TensorType};
use twinflow_compiler::{ConvConfig, Tensor, trace};
use twinflow_tests::{
    Tolerance,
    gradients::{checked_gradient, traced},
    values::scattered,
    xla,
};

fn f64s(shape: &[usize], values: &[f64]) -> HostArray {
    HostArray::from_f64(TensorType::new(DType::F64, shape), values).unwrap()
}

/// The outputs of `f` for one input, by XLA and the reference.
fn run(x: &HostArray, f: impl for<'t> Fn(Tensor<'t>) -> Vec<Tensor<'t>>) -> Vec<Vec<f64>> {
    let program = traced(std::slice::from_ref(x.ty()), |x| f(x[0]));
    xla::run_checked(&program, std::slice::from_ref(x), Tolerance::Exact)
}

#[test]
fn sorting_gives_values_places_and_the_largest() {
    let x = f64s(&[2, 4], &[3.0, -1.0, 2.0, 3.0, 0.5, 0.25, 1.0, -4.0]);
    let outputs = run(&x, |x| {
        let (values, places) = x.top_k(2);
        vec![x.sort(-1), x.argsort(-1), x.sort(0), values, places, x.argmax(1), x.argmax(0)]
    });
    let expected = [
        &[-1.0, 2.0, 3.0, 3.0, -4.0, 0.25, 0.5, 1.0][..],
        &[1.0, 2.0, 0.0, 3.0, 3.0, 1.0, 0.0, 2.0],
        &[0.5, -1.0, 1.0, -4.0, 3.0, 0.25, 2.0, 3.0],
        &[3.0, 3.0, 1.0, 0.5],
        &[0.0, 3.0, 2.0, 0.0],
        &[0.0, 2.0],
        &[0.0, 1.0, 0.0, 0.0],
    ];
    assert_eq!(outputs, expected);
}

#[test]
fn infinities_and_nan_have_their_places() {
    let x = f64s(&[5], &[f64::INFINITY, 1.0, f64::NAN, f64::NEG_INFINITY, 0.0]);
    assert_eq!(run(&x, |x| vec![x.argsort(0)]), [[3.0, 4.0, 1.0, 0.0, 2.0]]);
    let x = f64s(&[3], &[f64::NEG_INFINITY; 3]);
    assert_eq!(run(&x, |x| vec![x.argmax(0)]), [[0.0]]);
}

#[test]
fn gradients_pass_sort_top_k_and_cumsum() {
    let x = scattered(&TensorType::new(DType::F64, [3, 5]), 2);
    checked_gradient(std::slice::from_ref(&x), |x| {
        let (values, places) = x[0].top_k(2);
        let weight = places.convert(DType::F64) + 1.0;
        (values.square() * weight).sum_all() + (x[0].sort(0).cumsum(1).sin() * x[0]).sum_all()
    });
}

#[test]
fn running_sums_are_exact_on_long_lanes() {
    let ones = HostArray::from_f64(TensorType::new(DType::I32, [1000]), &[1.0; 1000]).unwrap();
    let outputs = run(&ones, |x| vec![x.cumsum(0)]);
    assert!(outputs[0].iter().zip(1..).all(|(&sum, i)| sum == f64::from(i)));
}

#[test]
fn a_transposed_convolution_is_the_adjoint_of_the_convolution_with_the_flipped_kernel() {
    let types = [[2, 7, 7, 3], [3, 3, 3, 4], [2, 4, 4, 4]].map(|shape| TensorType::new(DType::F64, shape));
    let inputs: Vec<HostArray> = types.iter().enumerate().map(|(seed, ty)| scattered(ty, seed)).collect();
    // <conv(x, w), y> = <x, conv_transpose(y, w')> with w' flipped and its channels exchanged.
    let program = traced(&types, |v| {
        let [x, w, y] = v[..] else { panic!("three tensors") };
        let forward = x.conv(w, ConvConfig::new(2).with_stride(2).with_padding(1));
        let back = y.conv_transpose(w.reverse(&[0, 1]).transpose(&[0, 1, 3, 2]), 2, 1);
        vec![(forward * y).sum_all(), (x * back).sum_all()]
    });
    let outputs = xla::run_checked(&program, &inputs, Tolerance::F64);
    Tolerance::F64.assert(&outputs[0], &outputs[1]);
}

#[test]
fn second_derivatives_pass_a_grouped_convolution() {
    let types = [[1, 4, 4, 4], [3, 3, 2, 4]].map(|shape| TensorType::new(DType::F64, shape));
    let inputs: Vec<HostArray> = types.iter().enumerate().map(|(seed, ty)| scattered(ty, seed)).collect();
    checked_gradient(&inputs, |x| {
        let gradient = twinflow_compiler::grad(&x, |x| {
            let config = ConvConfig::new(2).with_stride(2).with_padding(1).with_groups(2);
            x[0].conv(x[1], config).tanh().sum_all()
        });
        gradient[0].square().sum_all() + gradient[1].square().sum_all()
    });
}

#[test]
fn wrong_operands_are_reported() {
    let message = |f: fn(Tensor<'_>)| {
        let traced = trace(|t| f(t.full(TensorType::new(DType::F32, [1, 4, 4, 3]), 0.0)));
        traced.unwrap_err().to_string()
    };
    let channels = message(|x| {
        x.conv(x.trace().full(x.ty().with_shape([3, 3, 2, 4]), 0.0), ConvConfig::new(2));
    });
    assert!(channels.contains("the channels do not fit 1 groups of the kernel f32[3, 3, 2, 4]"), "{channels}");
    let k = message(|x| {
        x.top_k(4);
    });
    assert!(k.contains("top_k: there are no 4 largest elements of 3 in f32[1, 4, 4, 3]"), "{k}");
    let dim = message(|x| {
        x.sort(4);
    });
    assert!(dim.contains("dim 4 is out of range"), "{dim}");
}
