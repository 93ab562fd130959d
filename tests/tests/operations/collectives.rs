//! Sums over replicas: two copies of a program on two devices of one process.

use twinflow_array::{DType, HostArray, TensorType};
use twinflow_compiler::{Program, Tensor, grad, trace};
use twinflow_tests::xla;

fn program(f: impl for<'t> Fn(Tensor<'t>) -> Vec<Tensor<'t>>) -> Program {
    let (program, _) = trace(|t| {
        let x: Tensor<'_> = t.inputs("x", &TensorType::new(DType::F32, [2]));
        t.outputs("", &f(x));
    })
    .unwrap_or_else(|error| panic!("{error}"));
    program
}

/// The outputs of replicas with x = [1, 2] and [10, 20].
fn on_two_replicas(program: &Program) -> Vec<Vec<Vec<f64>>> {
    let x = [[1.0f32, 2.0], [10.0, 20.0]].map(|x| vec![HostArray::from_slice([2], &x).unwrap()]);
    let outputs = xla::run_replicas(program, &x);
    outputs.iter().map(|outputs| outputs.iter().map(HostArray::to_f64).collect()).collect()
}

#[test]
fn sums_and_means_are_the_same_on_every_replica() {
    let outputs = on_two_replicas(&program(|x| {
        vec![x.all_reduce_sum(), x.all_reduce_mean(2), x.convert(DType::I32).all_reduce_sum().convert(DType::F32)]
    }));
    assert_eq!(outputs, vec![vec![vec![11.0, 22.0], vec![5.5, 11.0], vec![11.0, 22.0]]; 2]);
}

#[test]
fn gradients_are_those_of_the_sum_of_the_replicas_losses() {
    // Loss of replica r: sum (s x_r) with s = x_0 + x_1. The sum of both is sum s^2, whose gradient is 2 s everywhere.
    let outputs = on_two_replicas(&program(|x| vec![grad(&x, |x| (x.all_reduce_sum() * x).sum_all())]));
    assert_eq!(outputs, vec![vec![vec![22.0, 44.0]]; 2]);
}

#[test]
fn averaged_gradients_of_the_replicas_own_losses_are_data_parallel_training() {
    // The mean over both replicas of the gradient of sum x^2.
    let outputs = on_two_replicas(&program(|x| vec![grad(&x, |x| x.square().sum_all()).all_reduce_mean(2)]));
    assert_eq!(outputs, vec![vec![vec![11.0, 22.0]]; 2]);
}

#[test]
fn one_replica_keeps_its_values() {
    let x = HostArray::from_slice([2], &[3.0f32, 4.0]).unwrap();
    let outputs = xla::run(&program(|x| vec![x.all_reduce_sum(), x.all_reduce_mean(1)]), &[x]);
    assert!(outputs.iter().all(|output| output.to_f64() == [3.0, 4.0]));
}
