//! Reverse mode through a scan.
//!
//! The body is traced once more together with its own reverse pass. What the reverse pass reads of the forward pass
//! (the residuals) becomes more ys of the forward loop; the reverse pass becomes the body of a second loop that runs
//! the other way. To keep memory low, residuals that are inputs already (xs, constants) are handed over as they are, and
//! what is cheap to compute from other residuals, or depends on constants only, is computed again.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    panic::resume_unwind,
    sync::Arc,
};

use twinflow_array::TensorType;

use super::{Scan, activity::positions};
use crate::{
    autodiff::backward,
    error::TraceError,
    passes::eliminate_dead_code,
    primitive::Op,
    program::{Program, ValueId},
    properties::Recompute,
    trace::{Tensor, Trace, trace},
};

/// The reverse loop of a scan whose last ys are the residuals.
#[derive(Debug)]
pub(crate) struct ReverseRule {
    /// Which operands of the scan it gives cotangents for.
    active: Vec<bool>,
    /// The outputs of the body whose cotangents it takes.
    outputs: Vec<usize>,
    /// The stacked residuals that it reads, as result indices.
    residuals: Vec<usize>,
    /// The xs and constants that it reads, as operand indices.
    xs: Vec<usize>,
    constants: Vec<usize>,
    /// Inputs: cotangents of active carries, sums of cotangents of active constants | cotangents of active ys,
    /// residuals, xs | constants. Outputs: the same carries | cotangents of active xs.
    body: Arc<Program>,
}

/// A traced body, without names; an error inside unwinds on to the border of the trace around it.
pub(super) fn body_of(traced: Result<Program, TraceError>) -> Program {
    match traced {
        Ok(program) => Program { input_names: Vec::new(), output_names: Vec::new(), ..program },
        Err(error) => resume_unwind(Box::new(error)),
    }
}

/// The body, its outputs' cotangents and its own reverse pass in one program.
struct Joint {
    program: Program,
    /// How many instructions belong to the body itself.
    forward: usize,
    /// The inputs for the cotangents of the active outputs.
    cotangents: Vec<ValueId>,
    gradients: Vec<ValueId>,
    outputs: Vec<ValueId>,
}

impl Joint {
    fn new(scan: &Scan, active: &[bool], outputs: &[usize]) -> Self {
        let (inputs_n, outputs_n) = (scan.body.inputs.len(), scan.body.outputs.len());
        let output_types = scan.body.output_types();
        let types: Vec<TensorType> =
            scan.body.input_types().into_iter().chain(outputs.iter().map(|&i| output_types[i].clone())).collect();
        let mut forward = 0;
        let program = body_of(
            trace(|t| {
                let all: Vec<Tensor<'_>> = t.inputs("", &types);
                let (inputs, cotangents) = all.split_at(inputs_n);
                let begin = t.mark();
                let results = scan.body.replay(t, inputs);
                forward = t.mark();
                let sources: Vec<Tensor<'_>> = positions(active).into_iter().map(|i| inputs[i]).collect();
                let targets: Vec<_> =
                    outputs.iter().map(|&i| results[i]).zip(cotangents.iter().copied().map(Some)).collect();
                let gradients = backward(t, begin, forward, &sources, &targets);
                let gradients: Vec<Tensor<'_>> = gradients
                    .into_iter()
                    .zip(&sources)
                    .map(|(gradient, x)| gradient.unwrap_or_else(|| x.zeros_like()))
                    .collect();
                t.outputs("", &[results, gradients].concat());
            })
            .map(|(program, ())| program),
        );
        let cotangents = program.inputs[inputs_n..].to_vec();
        let gradients = program.outputs[outputs_n..].to_vec();
        let outputs = program.outputs[..outputs_n].to_vec();
        Joint { program, forward, cotangents, gradients, outputs }
    }

    /// The instructions of the reverse pass that its outputs need, in order.
    fn needed_reverse(&self) -> BTreeSet<usize> {
        let mut wanted: HashSet<ValueId> = self.gradients.iter().copied().collect();
        let mut needed = BTreeSet::new();
        for index in (self.forward..self.program.instructions.len()).rev() {
            let instruction = &self.program.instructions[index];
            if instruction.results.iter().any(|result| wanted.contains(result)) {
                wanted.extend(&instruction.operands);
                needed.insert(index);
            }
        }
        needed
    }

    /// Splits what the reverse pass reads: instructions to run in it, and values to save or hand over.
    fn split(&self, constants: &HashSet<ValueId>) -> (BTreeSet<usize>, BTreeSet<ValueId>) {
        let program = &self.program;
        let maker: HashMap<ValueId, usize> = (0..self.forward)
            .flat_map(|index| program.instructions[index].results.iter().map(move |&result| (result, index)))
            .collect();
        let invariant = self.invariant_values(constants);
        let mut run = self.needed_reverse();
        let cotangents: HashSet<ValueId> = self.cotangents.iter().copied().collect();
        let is_forward = |value: &ValueId| maker.contains_key(value) || program.inputs.contains(value);
        let mut residuals: BTreeSet<ValueId> = run
            .iter()
            .flat_map(|&index| program.instructions[index].operands.iter().copied())
            .chain(self.gradients.iter().copied())
            .filter(|value| is_forward(value) && !cotangents.contains(value))
            .collect();
        // Later values first: each is computed again where that needs nothing new to be saved.
        let mut queue: BTreeSet<ValueId> = residuals.clone();
        while let Some(value) = queue.pop_last() {
            let Some(&index) = maker.get(&value) else { continue };
            let instruction = &program.instructions[index];
            let at_hand = |operand: &ValueId| residuals.contains(operand) || invariant.contains(operand);
            let again = match instruction.op.properties().recompute {
                Recompute::Save => false,
                Recompute::Cheap => instruction.operands.iter().all(at_hand),
                Recompute::Free => true,
            };
            if again || invariant.contains(&value) {
                residuals.remove(&value);
                run.insert(index);
                residuals.extend(&instruction.operands);
                queue.extend(&instruction.operands);
            }
        }
        (run, residuals)
    }

    /// The values of the body that depend on its constants only.
    fn invariant_values(&self, constants: &HashSet<ValueId>) -> HashSet<ValueId> {
        let mut invariant = constants.clone();
        for instruction in &self.program.instructions[..self.forward] {
            if instruction.operands.iter().all(|operand| invariant.contains(operand)) {
                invariant.extend(&instruction.results);
            }
        }
        invariant
    }
}

impl Scan {
    /// The same loop with residuals as more ys (where they are no ys yet), and those ys' types.
    pub(super) fn with_reverse_rule(&self, asked: &[bool]) -> (Arc<dyn Op>, Vec<TensorType>) {
        let active = self.active_inputs(asked);
        let outputs = positions(&self.active_results(&active));
        let joint = Joint::new(self, &active, &outputs);
        let first_constant = self.carries + self.xs;
        let inputs = &joint.program.inputs[..self.body.inputs.len()];
        let constant_values: HashSet<ValueId> = inputs[first_constant..].iter().copied().collect();
        let (run, residuals) = joint.split(&constant_values);
        let among = |range: std::ops::Range<usize>| -> Vec<usize> {
            range.filter(|&i| residuals.contains(&inputs[i])).collect()
        };
        let (xs, constants) = (among(self.carries..first_constant), among(first_constant..inputs.len()));
        let handed: HashSet<ValueId> = inputs[self.carries..].iter().copied().collect();
        let saved: Vec<ValueId> = residuals.iter().copied().filter(|value| !handed.contains(value)).collect();

        let body = self.reverse_body(&joint, &run, &active, &outputs, &saved, (&xs, &constants));
        let (all_outputs, residuals) = self.with_residuals(&joint.outputs, &saved);
        let more = &all_outputs[joint.outputs.len()..];
        let types = more.iter().map(|&value| super::stacked(joint.program.ty(value), self.length)).collect();
        let rule = ReverseRule { active, outputs, residuals, xs, constants, body: Arc::new(body) };
        let forward = Program {
            inputs: inputs.to_vec(),
            outputs: all_outputs,
            instructions: joint.program.instructions[..joint.forward].to_vec(),
            types: joint.program.types.clone(),
            ..Program::default()
        };
        let body = Arc::new(eliminate_dead_code(forward));
        (Arc::new(Scan { body, reverse_rule: Some(Arc::new(rule)), ..self.clone() }), types)
    }

    /// The body's outputs with the residuals among the ys, and the residuals' places.
    fn with_residuals(&self, outputs: &[ValueId], saved: &[ValueId]) -> (Vec<ValueId>, Vec<usize>) {
        let mut all = outputs.to_vec();
        let places = saved.iter().map(|value| {
            let known = all[self.carries..].iter().position(|y| y == value);
            known.map_or_else(
                || {
                    all.push(*value);
                    all.len() - 1
                },
                |y| self.carries + y,
            )
        });
        let places = places.collect();
        (all, places)
    }

    /// The body of the reverse loop; [`ReverseRule::body`] says what goes in and out.
    fn reverse_body(
        &self,
        joint: &Joint,
        run: &BTreeSet<usize>,
        active: &[bool],
        outputs: &[usize],
        saved: &[ValueId],
        (xs, constants): (&[usize], &[usize]),
    ) -> Program {
        let program = &joint.program;
        let first_constant = self.carries + self.xs;
        let active = positions(active);
        let of_kind = |range: std::ops::Range<usize>| {
            active.iter().enumerate().filter(move |(_, i)| range.contains(i)).map(|(k, _)| k)
        };
        let carry_gradients: Vec<usize> = of_kind(0..self.carries).collect();
        let x_gradients: Vec<usize> = of_kind(self.carries..first_constant).collect();
        let constant_gradients: Vec<usize> = of_kind(first_constant..program.types.len()).collect();
        let carry_outputs = outputs.iter().filter(|&&i| i < self.carries).count();

        let mut values = joint.cotangents[..carry_outputs].to_vec();
        let sums: Vec<ValueId> = constant_gradients.iter().map(|&k| joint.gradients[k]).collect();
        let after = joint.cotangents[carry_outputs..].iter().copied().chain(saved.iter().copied());
        let inputs = xs.iter().chain(constants).map(|&i| program.inputs[i]);
        let rest: Vec<ValueId> = after.chain(inputs).collect();
        let types: Vec<TensorType> =
            values.iter().chain(&sums).chain(&rest).map(|&value| program.ty(value).clone()).collect();
        body_of(
            trace(|t: &Trace| {
                let tensors: Vec<Tensor<'_>> = t.inputs("", &types);
                let (first, others) = (carry_outputs, carry_outputs + sums.len());
                values.extend(&rest);
                let inputs = tensors[..first].iter().chain(&tensors[others..]).copied();
                let mut known: HashMap<ValueId, Tensor<'_>> = values.iter().copied().zip(inputs).collect();
                for &index in run {
                    let instruction = &program.instructions[index];
                    let operands: Vec<Tensor<'_>> = instruction.operands.iter().map(|value| known[value]).collect();
                    let results =
                        t.record_in(&instruction.scope, instruction.op.clone(), &operands, instruction.location);
                    known.extend(instruction.results.iter().copied().zip(results));
                }
                let gradient = |&k: &usize| known[&joint.gradients[k]];
                let sums = constant_gradients.iter().zip(&tensors[first..others]).map(|(k, &sum)| sum + gradient(k));
                let all: Vec<Tensor<'_>> =
                    carry_gradients.iter().map(gradient).chain(sums).chain(x_gradients.iter().map(gradient)).collect();
                t.outputs("", &all);
            })
            .map(|(program, ())| program),
        )
    }
}

impl ReverseRule {
    /// The operands' cotangents: runs the reverse loop.
    pub(super) fn apply<'t>(
        &self,
        scan: &Scan,
        x: &[Tensor<'t>],
        y: &[Tensor<'t>],
        y_bar: &[Option<Tensor<'t>>],
    ) -> Vec<Option<Tensor<'t>>> {
        let bar = |&i: &usize| y_bar[i].unwrap_or_else(|| y[i].zeros_like());
        let (carry_outputs, y_outputs): (Vec<usize>, Vec<usize>) =
            self.outputs.iter().partition(|&&i| i < scan.carries);
        let first_constant = scan.carries + scan.xs;
        let active = positions(&self.active);
        let active_constants = active.iter().filter(|&&i| i >= first_constant);
        let carries: Vec<Tensor<'t>> =
            carry_outputs.iter().map(bar).chain(active_constants.map(|&i| x[i].zeros_like())).collect();
        let residuals = self.residuals.iter().map(|&i| y[i]);
        let xs: Vec<Tensor<'t>> =
            y_outputs.iter().map(bar).chain(residuals).chain(self.xs.iter().map(|&i| x[i])).collect();
        let constants: Vec<Tensor<'t>> = self.constants.iter().map(|&i| x[i]).collect();
        let reverse_scan = Scan {
            body: self.body.clone(),
            length: scan.length,
            carries: carries.len(),
            xs: xs.len(),
            reverse: !scan.reverse,
            reverse_rule: None,
        };
        let results = reverse_scan.apply(x[0].trace(), &[carries, xs, constants].concat());
        // Results: carries' cotangents, constants' sums, then xs' cotangents; operands come as carries, xs, constants.
        let (of_carries, others): (Vec<usize>, Vec<usize>) = active.iter().partition(|&&i| i < scan.carries);
        let (of_xs, of_constants): (Vec<usize>, Vec<usize>) = others.iter().partition(|&&i| i < first_constant);
        let mut x_bar = vec![None; x.len()];
        for (i, result) in of_carries.into_iter().chain(of_constants).chain(of_xs).zip(results) {
            x_bar[i] = Some(result);
        }
        x_bar
    }
}
