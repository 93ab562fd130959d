//! Control flow on trees of tensors: scan, while, remat. Outer tensors that a body uses become its operands.

use std::sync::Arc;

use twinflow_array::{Tree, leaves, map, unflatten};

use crate::{
    ops::{
        remat::Remat,
        scan::{Scan, unstacked},
        while_loop::While,
    },
    trace::{Body, Tensor, Trace},
};

/// `carry, y[i] = f(carry, x[i])` along the first dim of every x; gives the last carry and the stacked ys.
///
/// Gradients flow through it; what the body keeps for them is one stack per value, unless it is under [`remat`].
#[track_caller]
pub fn scan<'t, C, X, Y>(
    init: &C,
    xs: &X,
    f: impl FnOnce(C::Rebind<Tensor<'t>>, X::Rebind<Tensor<'t>>) -> (C, Y),
) -> (C::Rebind<Tensor<'t>>, Y::Rebind<Tensor<'t>>)
where
    C: Tree<Leaf = Tensor<'t>>,
    X: Tree<Leaf = Tensor<'t>>,
    Y: Tree<Leaf = Tensor<'t>>,
{
    let (carries, stacked) = (tensors(init), tensors(xs));
    let Some(first) = stacked.first() else { panic!("scan needs a stacked operand; count with an iota") };
    let trace = first.trace();
    let length = stack_length(trace, &stacked);
    let inputs: Vec<_> =
        carries.iter().map(|carry| carry.ty()).chain(stacked.iter().map(|x| unstacked(&x.ty()))).collect();
    let mut structure = None;
    let body = trace.body(&inputs, |inputs| {
        let (carry, x) = inputs.split_at(carries.len());
        let (carry, y) = f(unflatten(init, carry.to_vec()), unflatten(xs, x.to_vec()));
        let outputs = [tensors(&carry), tensors(&y)].concat();
        structure = Some((carry, y));
        outputs
    });
    let (carry, y) = structure.expect("the body was traced");
    let Body { program, captures } = body;
    let op = Scan {
        body: Arc::new(program),
        length,
        carries: carries.len(),
        xs: stacked.len(),
        reverse: false,
        reverse_rule: None,
    };
    let results = op.apply(trace, &[carries, stacked, captures].concat());
    let (last, ys) = results.split_at(leaves(&carry).len());
    (unflatten(init, last.to_vec()), unflatten(&y, ys.to_vec()))
}

/// The common first dim of stacked operands.
#[track_caller]
fn stack_length<'t>(trace: &'t Trace, stacked: &[Tensor<'t>]) -> usize {
    let first_dim = |x: &Tensor<'t>| x.shape().first().copied();
    let length = first_dim(&stacked[0]);
    match length.filter(|_| stacked.iter().all(|x| first_dim(x) == length)) {
        Some(0) => {
            trace.fail("scan", format!("there is no step to take: the stacked operands are {}", stacked[0].ty()))
        }
        Some(length) => length,
        None => {
            let types: Vec<String> = stacked.iter().map(|x| x.ty().to_string()).collect();
            trace.fail("scan", format!("stacked operands differ in their first dim: {}", types.join(", ")))
        }
    }
}

/// `while condition(carry) { carry = body(carry) }`. It has no derivatives.
#[track_caller]
pub fn while_loop<'t, C>(
    init: &C,
    condition: impl FnOnce(C::Rebind<Tensor<'t>>) -> Tensor<'t>,
    body: impl FnOnce(C::Rebind<Tensor<'t>>) -> C,
) -> C::Rebind<Tensor<'t>>
where
    C: Tree<Leaf = Tensor<'t>>,
{
    let carries = tensors(init);
    let trace = carries[0].trace();
    let types: Vec<_> = carries.iter().map(|carry| carry.ty()).collect();
    let condition = trace.body(&types, |inputs| vec![condition(unflatten(init, inputs))]);
    let body = trace.body(&types, |inputs| tensors(&body(unflatten(init, inputs))));
    let operands = [&carries[..], &condition.captures, &body.captures].concat();
    // Both programs take all operands: each gets unused inputs for what only the other one reads.
    let types_of = |captures: &[Tensor<'t>]| captures.iter().map(|capture| capture.ty()).collect::<Vec<_>>();
    let (mut test, mut step) = (condition.program, body.program);
    test.insert_inputs(test.inputs.len(), types_of(&body.captures));
    step.insert_inputs(carries.len(), types_of(&condition.captures));
    let op = While { condition: Arc::new(test), body: Arc::new(step) };
    unflatten(init, trace.record(Arc::new(op), &operands))
}

/// `f(args)`, of which gradients keep the arguments only: the forward pass runs again in the backward pass.
#[track_caller]
pub fn remat<'t, A, B>(args: &A, f: impl FnOnce(A::Rebind<Tensor<'t>>) -> B) -> B::Rebind<Tensor<'t>>
where
    A: Tree<Leaf = Tensor<'t>>,
    B: Tree<Leaf = Tensor<'t>>,
{
    let inputs = tensors(args);
    let trace = inputs[0].trace();
    let types: Vec<_> = inputs.iter().map(|input| input.ty()).collect();
    let mut structure = None;
    let Body { program, captures } = trace.body(&types, |inputs| {
        let out = f(unflatten(args, inputs));
        let outputs = tensors(&out);
        structure = Some(out);
        outputs
    });
    let out = structure.expect("the body was traced");
    let results = trace.record(Arc::new(Remat { body: Arc::new(program) }), &[inputs, captures].concat());
    let mut results = results.into_iter();
    map(&out, |_, _| results.next().expect("one result per output"))
}

fn tensors<'t, A: Tree<Leaf = Tensor<'t>>>(tree: &A) -> Vec<Tensor<'t>> {
    leaves(tree).into_iter().copied().collect()
}
