//! A loop over the first dim of stacked operands, with its own derivatives: compile time does not grow with its length.

mod activity;
mod forward_rule;
mod prune;
mod reverse_rule;

use std::sync::Arc;

use ndarray::{ArrayD, Axis};
use twinflow_array::{DType, Shape, TensorType};

use self::reverse_rule::ReverseRule;
use super::prelude::*;
use crate::{
    interpreter::interpret,
    primitive::{Bodies, Pruned, require_carries, require_inputs},
    stablehlo::lower_body,
    trace::{Trace, trace},
};

/// `carry, y[i] = body(carry, x[i], constants)` for i = 0 .. length.
///
/// Operands: the carries' first values, the stacked xs, the constants. Results: the carries' last values, the stacked
/// ys. The body's inputs and outputs come in the same order.
#[derive(Clone, Debug)]
pub struct Scan {
    pub(crate) body: Arc<Program>,
    pub(crate) length: usize,
    /// How many carries there are.
    pub(crate) carries: usize,
    /// How many stacked operands there are.
    pub(crate) xs: usize,
    /// Whether i runs downwards.
    pub(crate) reverse: bool,
    /// Present once what the reverse rule needs is among the ys.
    pub(crate) reverse_rule: Option<Arc<ReverseRule>>,
}

/// The type of one slice along the first dim.
pub(crate) fn unstacked(ty: &TensorType) -> TensorType {
    ty.with_shape(&ty.shape[1..])
}

/// The type of `length` such tensors along a new first dim.
pub(crate) fn stacked(ty: &TensorType, length: usize) -> TensorType {
    ty.with_shape(std::iter::once(length).chain(ty.shape.iter().copied()).collect::<Shape>())
}

impl Scan {
    /// Applies the loop in the open graph.
    #[track_caller]
    pub(crate) fn apply<'t>(self, trace: &'t Trace, operands: &[Tensor<'t>]) -> Vec<Tensor<'t>> {
        trace.record(Arc::new(self), operands)
    }

    /// The step's number, or its mirror image if the loop runs downwards.
    fn position(&self, step: usize) -> usize {
        if self.reverse { self.length - 1 - step } else { step }
    }

    fn ys(&self) -> usize {
        self.body.outputs.len() - self.carries
    }

    /// `[i, 0, 0, ..]` as the start of a slice of `rank` dims, in StableHLO.
    fn starts(index: &Value, zero: &Value, rank: usize) -> String {
        let zeros = std::iter::repeat_n(zero.name.as_str(), rank - 1);
        std::iter::once(index.name.as_str()).chain(zeros).collect::<Vec<_>>().join(", ")
    }

    fn lower_slice(x: &Value, index: &Value, zero: &Value, block: &mut Block) -> Value {
        let one = stacked(&unstacked(&x.ty), 1);
        let sizes: Vec<String> = one.shape.iter().map(ToString::to_string).collect();
        let starts = Self::starts(index, zero, x.ty.shape.rank());
        let index_types = vec![index.ty.mlir(); x.ty.shape.rank()].join(", ");
        let text = format!(
            "stablehlo.dynamic_slice {}, {starts}, sizes = [{}] : ({}, {index_types}) -> {}",
            x.name,
            sizes.join(", "),
            x.ty.mlir(),
            one.mlir()
        );
        let slice = block.emit(&text, &one);
        block.call("stablehlo.reshape", &[&slice], "", &unstacked(&x.ty))
    }

    fn lower_update(stack: &Value, y: &Value, index: &Value, zero: &Value, block: &mut Block) -> Value {
        let one = block.call("stablehlo.reshape", &[y], "", &stacked(&y.ty, 1));
        let starts = Self::starts(index, zero, stack.ty.shape.rank());
        let index_types = vec![index.ty.mlir(); stack.ty.shape.rank()].join(", ");
        let types = format!("({}, {}, {index_types}) -> {}", stack.ty.mlir(), one.ty.mlir(), stack.ty.mlir());
        let text = format!("stablehlo.dynamic_update_slice {}, {}, {starts} : {types}", stack.name, one.name);
        block.emit(&text, &stack.ty)
    }

    /// The loop's body in StableHLO: state is the counter, carries, ys so far, xs, constants.
    fn lower_step(&self, state: &[Value], block: &mut Block) -> Vec<Value> {
        let index_type = TensorType::scalar(DType::I32);
        let step = &state[0];
        let (carries, rest) = state[1..].split_at(self.carries);
        let (stacks, rest) = rest.split_at(self.ys());
        let (xs, constants) = rest.split_at(self.xs);
        let one = block.splat(&index_type, 1.0);
        let zero = block.splat(&index_type, 0.0);
        let next = block.binary("stablehlo.add", step, &one, &index_type);
        let index = if self.reverse {
            let last = block.splat(&index_type, (self.length - 1) as f64);
            block.binary("stablehlo.subtract", &last, step, &index_type)
        } else {
            step.clone()
        };
        let slices: Vec<Value> = xs.iter().map(|x| Self::lower_slice(x, &index, &zero, block)).collect();
        let outputs = lower_body(&self.body, &[carries, &slices, constants].concat(), block);
        let (carries, ys) = outputs.split_at(self.carries);
        let stacks: Vec<Value> =
            stacks.iter().zip(ys).map(|(stack, y)| Self::lower_update(stack, y, &index, &zero, block)).collect();
        [&[next], carries, &stacks, xs, constants].concat()
    }
}

impl Bodies for Scan {
    fn programs(&self) -> Vec<&Program> {
        vec![&self.body]
    }

    fn with_programs(&self, programs: Vec<Program>) -> Arc<dyn Op> {
        let [body] = programs.try_into().expect("one program for one");
        Arc::new(Scan { body: Arc::new(body), reverse_rule: None, ..self.clone() })
    }

    fn steps(&self) -> Option<u64> {
        Some(self.length as u64)
    }

    fn saving_residuals(&self, asked: &[bool]) -> Option<(Arc<dyn Op>, Vec<TensorType>)> {
        Some(self.with_reverse_rule(asked))
    }

    fn prune(&self, read: &[bool]) -> Option<Pruned> {
        Some(self.without_dead_parts(read))
    }
}

impl Op for Scan {
    fn name(&self) -> &'static str {
        "scan"
    }

    fn attributes(&self) -> String {
        let direction = if self.reverse { " reverse" } else { "" };
        format!("{{ length: {}, carries: {}, xs: {} }}{direction}", self.length, self.carries, self.xs)
    }

    fn properties(&self) -> Properties {
        Properties::SAVE
    }

    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, TypeError> {
        let inputs = self.body.input_types();
        let mut expected = inputs.clone();
        for x in expected.iter_mut().skip(self.carries).take(self.xs) {
            *x = stacked(x, self.length);
        }
        require_inputs(operands, &expected)?;
        let outputs = self.body.output_types();
        let (carries, ys) = outputs.split_at(self.carries);
        require_carries(&inputs, carries)?;
        Ok(carries.iter().cloned().chain(ys.iter().map(|y| stacked(y, self.length))).collect())
    }

    fn lower(&self, operands: &[Value], results: &[TensorType], block: &mut Block) -> Vec<Value> {
        let (carries, rest) = operands.split_at(self.carries);
        let counter = block.splat(&TensorType::scalar(DType::I32), 0.0);
        // Every element is written before the loop ends, so any value will do. Equal ones would be one constant, of which
        // XLA copies one for each stack. Below 100 they are literals of every other type.
        let first = |(i, ty): (usize, &TensorType)| {
            block.splat(ty, if ty.dtype == DType::Bool { 0.0 } else { (i % 100) as f64 })
        };
        let stacks: Vec<Value> = results[self.carries..].iter().enumerate().map(first).collect();
        let initial = [&[counter], carries, &stacks, rest].concat();
        let finals = block.while_loop(
            &initial,
            |state, block| {
                let length = block.splat(&state[0].ty, self.length as f64);
                block.compare("LT", &state[0], &length)
            },
            |state, block| self.lower_step(state, block),
        );
        finals[1..=results.len()].to_vec()
    }

    fn vjp<'t>(&self, x: &[Tensor<'t>], y: &[Tensor<'t>], y_bar: &[Option<Tensor<'t>>]) -> Vec<Option<Tensor<'t>>> {
        match &self.reverse_rule {
            Some(rule) => rule.apply(self, x, y, y_bar),
            // Reverse mode asks every active scan to save its residuals before it applies any rule.
            None => vec![None; x.len()],
        }
    }

    fn jvp<'t>(&self, x: &[Tensor<'t>], y: &[Tensor<'t>], x_dot: &[Option<Tensor<'t>>]) -> Vec<Option<Tensor<'t>>> {
        self.forward_rule(x, y, x_dot)
    }

    fn eval(&self, operands: &[ArrayD<f64>], results: &[TensorType]) -> Vec<ArrayD<f64>> {
        let (carries, rest) = operands.split_at(self.carries);
        let (xs, constants) = rest.split_at(self.xs);
        let mut carries = carries.to_vec();
        let mut stacks: Vec<ArrayD<f64>> =
            results[self.carries..].iter().map(|ty| ArrayD::zeros(ty.shape.to_vec())).collect();
        for step in 0..self.length {
            let i = self.position(step);
            let slices = xs.iter().map(|x| x.index_axis(Axis(0), i).to_owned());
            let inputs: Vec<ArrayD<f64>> = carries.into_iter().chain(slices).chain(constants.iter().cloned()).collect();
            let mut outputs = interpret(&self.body, &inputs);
            let ys = outputs.split_off(self.carries);
            carries = outputs;
            stacks.iter_mut().zip(ys).for_each(|(stack, y)| stack.index_axis_mut(Axis(0), i).assign(&y));
        }
        carries.into_iter().chain(stacks).collect()
    }

    /// Each step cuts its slices out of the xs and puts them into the ys.
    fn cost(&self, operands: &[TensorType], results: &[TensorType]) -> Cost {
        let xs = &operands[self.carries..self.carries + self.xs];
        Cost::moving(xs.iter().chain(&results[self.carries..])) * 2
    }

    fn bodies(&self) -> Option<&dyn Bodies> {
        Some(self)
    }

    fn samples() -> Vec<Sample> {
        [false, true].into_iter().map(sample_scan).collect()
    }
}

/// `carry = tanh(carry * x[i] + constant)`, `y[i] = carry * x[i]`.
fn sample_scan(reverse: bool) -> Sample {
    let vector = TensorType::new(DType::F64, [2]);
    let types = vec![vector.clone(), vector.clone(), vector];
    let (body, _) = trace(|t| {
        let v: Vec<Tensor<'_>> = t.inputs("", &types);
        let carry = (v[0] * v[1] + v[2]).tanh();
        t.outputs("", &vec![carry, carry * v[1]]);
    })
    .expect("the sample's types agree");
    let operands = [&[2][..], &[3, 2], &[2]];
    let operands = operands.iter().enumerate().map(|(i, shape)| sample::spread(shape, i, &(-1.0..1.0))).collect();
    let body = Arc::new(Program { input_names: Vec::new(), output_names: Vec::new(), ..body });
    Sample::of_op(Scan { body, length: 3, carries: 1, xs: 1, reverse, reverse_rule: None }, operands)
}
