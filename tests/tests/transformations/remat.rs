//! Rematerialisation: the same numbers, and residuals that are gone.

use twinflow_compiler::{Program, Tensor, grad, program::Instruction, remat};
use twinflow_tests::{
    Tolerance,
    gradients::{checked_gradient, gradient_program},
    xla,
};

use crate::{arrays, types};

fn block<'t>(x: Tensor<'t>, weight: Tensor<'t>) -> Tensor<'t> {
    (x.matmul(weight).gelu() + x).tanh()
}

/// Two blocks whose second weight is captured from outside.
fn model<'t>(x: &[Tensor<'t>], rematerialise: bool) -> Tensor<'t> {
    let second = x[2];
    let first = if rematerialise { remat(&(x[0], x[1]), |(x, w)| block(x, w)) } else { block(x[0], x[1]) };
    let out = if rematerialise { remat(&first, |x| block(x, second)) } else { block(first, second) };
    out.square().sum_all()
}

#[test]
fn values_and_gradients_stay_the_same() {
    let inputs = arrays(&[&[3, 4], &[4, 4], &[4, 4]]);
    let with = checked_gradient(&inputs, |x| model(&x, true));
    let without = xla::run(&gradient_program(&types(&inputs), |x| model(&x, false)), &inputs);
    for (a, b) in with.iter().zip(without) {
        Tolerance::F64.assert(a, &b.to_f64());
    }
}

#[test]
fn the_gradient_can_be_derived_again() {
    checked_gradient(&arrays(&[&[3, 4], &[4, 4], &[4, 4]]), |x| {
        let gradient = grad(&x, |x| model(&x, true));
        gradient.iter().map(|g| g.square().sum_all()).reduce(|a, b| a + b).expect("there are arguments")
    });
}

/// How many values the instructions before the first barrier make and it or those after it read: what is kept.
/// Filled tensors do not count: they are made again for nothing.
fn kept_across_barriers(program: &Program) -> usize {
    let barrier = |name: &str| name == "optimization_barrier";
    let first = program.instructions.iter().position(|instruction| barrier(instruction.op.name()));
    let (before, after) = program.instructions.split_at(first.expect("remat puts barriers in"));
    let filled = |instruction: &&Instruction| matches!(instruction.op.name(), "constant" | "broadcast_in_dim");
    let made: Vec<_> = before.iter().filter(|i| !filled(i)).flat_map(|instruction| &instruction.results).collect();
    let mut read: Vec<_> =
        after.iter().flat_map(|instruction| &instruction.operands).filter(|v| made.contains(v)).collect();
    read.sort();
    read.dedup();
    read.len()
}

#[test]
fn only_operands_are_kept_for_the_reverse_pass() {
    let inputs = arrays(&[&[3, 4], &[4, 4], &[4, 4]]);
    let program = gradient_program(&types(&inputs), |x| model(&x, true));
    let simple = twinflow_compiler::passes::simplify(program);
    // The first block's result, and the loss's cotangent made of the second's.
    assert_eq!(kept_across_barriers(&simple), 2, "{simple}");
}

#[test]
fn unused_arguments_and_several_results_are_fine() {
    checked_gradient(&arrays(&[&[3], &[3]]), |x| {
        let (a, b) = remat(&(x[0], x[1]), |(x, _)| (x.exp(), x * 3.0));
        // One result is not used: its cotangent is zero.
        let _ = b;
        (a * x[1]).sum_all()
    });
}

#[test]
fn nested_bodies_capture_through_both_borders() {
    checked_gradient(&arrays(&[&[3], &[3]]), |x| {
        let outer = x[1].sin();
        remat(&x[0], |a| remat(&(a * 2.0), |a| (a * outer).exp() * x[1])).sum_all()
    });
}
