//! Forward mode: tangents flow from operands to results.

use std::collections::HashMap;

use twinflow_array::Tree;

use super::{alias, rebuild, tensors, trace_of};
use crate::{
    program::ValueId,
    trace::{Tensor, Trace},
};

/// The value of `f` at `args`, and its derivative in the direction `tangents` (of the arguments' types).
pub fn jvp<'t, A, B>(args: &A, tangents: &A, f: impl FnOnce(A::Rebind<Tensor<'t>>) -> B) -> (B, B::Rebind<Tensor<'t>>)
where
    A: Tree<Leaf = Tensor<'t>>,
    B: Tree<Leaf = Tensor<'t>>,
{
    let trace = trace_of(args);
    let variables = alias(args);
    let inputs = tensors(&variables);
    let begin = trace.mark();
    let out = f(variables);
    let sources: Vec<_> = inputs.into_iter().zip(tensors(tangents).into_iter().map(Some)).collect();
    let found = pushforward(trace, begin, trace.mark(), &sources, &tensors(&out));
    let dots = found.into_iter().zip(tensors(&out)).map(|(dot, y)| dot.unwrap_or_else(|| y.zeros_like())).collect();
    let dots = rebuild(&out, dots);
    (out, dots)
}

/// The tangents of `targets` from those of `sources`, over the instructions `begin..end` of the open graph.
pub(crate) fn pushforward<'t>(
    trace: &'t Trace,
    begin: usize,
    end: usize,
    sources: &[(Tensor<'t>, Option<Tensor<'t>>)],
    targets: &[Tensor<'t>],
) -> Vec<Option<Tensor<'t>>> {
    let mut dots: HashMap<ValueId, Tensor<'t>> = HashMap::new();
    let floats = sources.iter().filter(|(x, _)| x.dtype().is_float());
    dots.extend(floats.filter_map(|(x, dot)| Some((x.value, (*dot)?))));
    for index in begin..end {
        let (instruction, operands, results) = trace.equation(index);
        let x_dot: Vec<Option<Tensor<'t>>> = operands.iter().map(|x| dots.get(&x.value).copied()).collect();
        if x_dot.iter().all(Option::is_none) {
            continue;
        }
        let y_dot = trace.deriving(&instruction, || instruction.op.jvp(&operands, &results, &x_dot));
        for (y, dot) in results.iter().zip(y_dot) {
            if let Some(dot) = dot.filter(|_| y.dtype().is_float()) {
                dots.insert(y.value, dot);
            }
        }
    }
    targets.iter().map(|y| if trace.is_open(*y) { dots.get(&y.value).copied() } else { None }).collect()
}
