//! Reverse mode: cotangents flow from results to operands.

use std::collections::{HashMap, HashSet};

use twinflow_array::Tree;

use super::{alias, rebuild, tensors, trace_of};
use crate::{
    program::{Instruction, ValueId},
    trace::{Tensor, Trace},
};

/// The linear map from a function's output cotangents to its arguments'.
pub struct Pullback<'t, A, B> {
    trace: &'t Trace,
    begin: usize,
    end: usize,
    sources: Vec<Tensor<'t>>,
    targets: Vec<Tensor<'t>>,
    args: A,
    out: std::marker::PhantomData<B>,
}

/// The value of `f` at `args`, and the pullback there.
pub fn vjp<'t, A, B>(args: &A, f: impl FnOnce(A::Rebind<Tensor<'t>>) -> B) -> (B, Pullback<'t, A, B>)
where
    A: Tree<Leaf = Tensor<'t>> + Clone,
    B: Tree<Leaf = Tensor<'t>>,
{
    let trace = trace_of(args);
    let variables = alias(args);
    let sources = tensors(&variables);
    let begin = trace.mark();
    let out = f(variables);
    let targets = tensors(&out);
    let pullback = Pullback {
        trace,
        begin,
        end: trace.mark(),
        sources,
        targets,
        args: args.clone(),
        out: std::marker::PhantomData,
    };
    (out, pullback)
}

impl<'t, A: Tree<Leaf = Tensor<'t>>, B: Tree<Leaf = Tensor<'t>>> Pullback<'t, A, B> {
    /// The arguments' cotangents from the outputs' (of the outputs' types).
    pub fn apply(&self, cotangents: &B) -> A::Rebind<Tensor<'t>> {
        let cotangents = tensors(cotangents).into_iter().map(Some);
        let targets: Vec<_> = self.targets.iter().copied().zip(cotangents).collect();
        let found = backward(self.trace, self.begin, self.end, &self.sources, &targets);
        rebuild(&self.args, or_zeros(found, &self.sources))
    }
}

/// Where nothing flowed back, the cotangent is zero.
fn or_zeros<'t>(bars: Vec<Option<Tensor<'t>>>, sources: &[Tensor<'t>]) -> Vec<Tensor<'t>> {
    bars.into_iter().zip(sources).map(|(bar, x)| bar.unwrap_or_else(|| x.zeros_like())).collect()
}

/// The gradient of a scalar function.
#[track_caller]
pub fn grad<'t, A>(args: &A, f: impl FnOnce(A::Rebind<Tensor<'t>>) -> Tensor<'t>) -> A::Rebind<Tensor<'t>>
where
    A: Tree<Leaf = Tensor<'t>>,
{
    value_and_grad(args, |args| (f(args), ())).1
}

/// The value of a scalar function with whatever else it returns, and the gradient of the value.
#[track_caller]
pub fn value_and_grad<'t, A, X>(
    args: &A,
    f: impl FnOnce(A::Rebind<Tensor<'t>>) -> (Tensor<'t>, X),
) -> ((Tensor<'t>, X), A::Rebind<Tensor<'t>>)
where
    A: Tree<Leaf = Tensor<'t>>,
{
    let trace = trace_of(args);
    let variables = alias(args);
    let sources = tensors(&variables);
    let begin = trace.mark();
    let (value, aux) = f(variables);
    if value.rank() != 0 || !value.dtype().is_float() {
        trace.fail("grad", format!("the function's value is {}, not a float scalar", value.ty()));
    }
    let one = value.full_like(1.0);
    let found = backward(trace, begin, trace.mark(), &sources, &[(value, Some(one))]);
    ((value, aux), rebuild(args, or_zeros(found, &sources)))
}

/// The cotangents of `sources` from those of `targets`, over the instructions `begin..end` of the open graph.
pub(crate) fn backward<'t>(
    trace: &'t Trace,
    begin: usize,
    end: usize,
    sources: &[Tensor<'t>],
    targets: &[(Tensor<'t>, Option<Tensor<'t>>)],
) -> Vec<Option<Tensor<'t>>> {
    let active = active_values(trace, begin, end, sources);
    keep_residuals(trace, begin, end, &active);
    let mut bars: HashMap<ValueId, Tensor<'t>> = HashMap::new();
    for &(target, bar) in targets {
        let here = trace.is_open(target) && active.contains(&target.value);
        if let (Some(bar), true) = (bar, here) {
            accumulate(&mut bars, target, bar);
        }
    }
    for index in (begin..end).rev() {
        let (instruction, operands, results) = trace.equation(index);
        let y_bar: Vec<Option<Tensor<'t>>> = results.iter().map(|y| bars.get(&y.value).copied()).collect();
        let wanted: Vec<bool> = operands.iter().map(|x| active.contains(&x.value)).collect();
        if y_bar.iter().all(Option::is_none) || !wanted.contains(&true) {
            continue;
        }
        trace.deriving(&instruction, || {
            let x_bar = instruction.op.vjp(&operands, &results, &y_bar);
            for ((x, bar), wanted) in operands.iter().zip(x_bar).zip(wanted) {
                if let (Some(bar), true) = (bar, wanted) {
                    check_cotangent(trace, instruction.op.name(), *x, bar);
                    accumulate(&mut bars, *x, bar);
                }
            }
        });
    }
    sources.iter().map(|source| bars.get(&source.value).copied()).collect()
}

fn accumulate<'t>(bars: &mut HashMap<ValueId, Tensor<'t>>, x: Tensor<'t>, bar: Tensor<'t>) {
    bars.entry(x.value).and_modify(|sum| *sum = *sum + bar).or_insert(bar);
}

/// A cotangent has the type of its value; anything else is a defect of the operation's rule.
fn check_cotangent<'t>(trace: &'t Trace, op: &str, x: Tensor<'t>, bar: Tensor<'t>) {
    if x.ty() != bar.ty() {
        trace.fail(op, format!("its reverse rule gave {} for an operand {}", bar.ty(), x.ty()));
    }
}

/// The float values that depend on the sources.
fn active_values(trace: &Trace, begin: usize, end: usize, sources: &[Tensor<'_>]) -> HashSet<ValueId> {
    let mut active: HashSet<ValueId> =
        sources.iter().filter(|source| source.dtype().is_float()).map(|source| source.value).collect();
    for index in begin..end {
        let (instruction, operands, results) = trace.equation(index);
        if passes_on(&instruction, &operands, &active) {
            active.extend(results.iter().filter(|y| y.dtype().is_float()).map(|y| y.value));
        }
    }
    active
}

/// Makes the loops that derivatives pass through keep what their reverse rules need.
fn keep_residuals(trace: &Trace, begin: usize, end: usize, active: &HashSet<ValueId>) {
    for index in begin..end {
        let (instruction, operands, _) = trace.equation(index);
        let Some(bodies) = instruction.op.bodies().filter(|_| passes_on(&instruction, &operands, active)) else {
            continue;
        };
        let asked: Vec<bool> = operands.iter().map(|x| active.contains(&x.value)).collect();
        if let Some((saving, residuals)) = bodies.saving_residuals(&asked) {
            trace.extend_instruction(index, saving, residuals);
        }
    }
}

/// Whether derivatives flow from some operand to the results.
fn passes_on(instruction: &Instruction, operands: &[Tensor<'_>], active: &HashSet<ValueId>) -> bool {
    !instruction.op.properties().blocks_gradient && operands.iter().any(|x| active.contains(&x.value))
}
