//! One sample application with directions for its derivatives.

use ndarray::ArrayD;
use twinflow_array::{HostArray, TensorType};
use twinflow_compiler::{Tensor, Trace, interpreter::wrap, jvp, ops::Sample, vjp};
use twinflow_tests::values::scattered;

/// A sample, and tangents and cotangents for it.
pub struct Case {
    /// `elementwise[3] tanh`.
    pub name: String,
    sample: Sample,
    results: Vec<TensorType>,
    float_operands: Vec<usize>,
    float_results: Vec<usize>,
    /// Directions at the float operands; empty if there is nothing to derive.
    pub tangents: Vec<HostArray>,
    /// Weights of the float results; empty if there is nothing to derive.
    pub cotangents: Vec<HostArray>,
}

/// What a case's part of a program gives.
pub struct Outputs<'a> {
    /// The results.
    pub results: &'a [Vec<f64>],
    /// The float results' tangents.
    pub result_tangents: &'a [Vec<f64>],
    /// The float operands' cotangents.
    pub operand_cotangents: &'a [Vec<f64>],
}

impl Case {
    /// Prepares a sample. Derivatives need `rules`, a float operand and a float result.
    pub fn new(name: String, sample: &Sample, rules: bool) -> Self {
        let types: Vec<TensorType> = sample.operands.iter().map(|operand| operand.ty().clone()).collect();
        let results = sample.op.infer(&types).unwrap_or_else(|error| panic!("{name}: {error}"));
        let floats = |types: &[TensorType]| (0..types.len()).filter(|&i| types[i].dtype.is_float()).collect::<Vec<_>>();
        let (float_operands, float_results) = (floats(&types), floats(&results));
        let rules = rules && !float_operands.is_empty() && !float_results.is_empty();
        let directions = |types: &[TensorType], which: &[usize], seed: usize| -> Vec<HostArray> {
            which.iter().filter(|_| rules).map(|&i| scattered(&types[i], seed + i)).collect()
        };
        Case {
            tangents: directions(&types, &float_operands, 1),
            cotangents: directions(&results, &float_results, 11),
            sample: sample.clone(),
            name,
            results,
            float_operands,
            float_results,
        }
    }

    /// The inputs of the part that [`Case::record`] records.
    pub fn inputs(&self) -> Vec<HostArray> {
        [&self.sample.operands[..], &self.tangents, &self.cotangents].concat()
    }

    /// Records values and derivatives as inputs and outputs of the open program.
    pub fn record<'t>(&self, trace: &'t Trace) {
        let types: Vec<TensorType> = self.inputs().iter().map(|input| input.ty().clone()).collect();
        let inputs: Vec<Tensor<'t>> = trace.inputs("", &types);
        let (operands, directions) = inputs.split_at(self.sample.operands.len());
        let (tangents, cotangents) = directions.split_at(self.tangents.len());
        trace.outputs("", &self.sample.apply(trace, operands));
        if tangents.is_empty() {
            return;
        }
        let variables: Vec<Tensor<'t>> = self.float_operands.iter().map(|&i| operands[i]).collect();
        let apply = |variables: Vec<Tensor<'t>>| -> Vec<Tensor<'t>> {
            let mut operands = operands.to_vec();
            self.float_operands.iter().zip(variables).for_each(|(&i, variable)| operands[i] = variable);
            let results = self.sample.apply(trace, &operands);
            self.float_results.iter().map(|&i| results[i]).collect()
        };
        trace.outputs("", &jvp(&variables, &tangents.to_vec(), apply).1);
        let (_, pullback) = vjp(&variables, apply);
        trace.outputs("", &pullback.apply(&cotangents.to_vec()));
    }

    /// This case's outputs, taken off the front of a program's.
    pub fn take<'a>(&self, outputs: &mut &'a [Vec<f64>]) -> Outputs<'a> {
        let mut take = |count: usize| {
            let (front, rest) = outputs.split_at(count);
            *outputs = rest;
            front
        };
        Outputs {
            results: take(self.results.len()),
            result_tangents: take(self.cotangents.len()),
            operand_cotangents: take(self.tangents.len()),
        }
    }

    /// The float results at the operands moved by `step` along `directions` (one per float operand).
    fn moved(&self, directions: &[ArrayD<f64>], step: f64) -> Vec<f64> {
        let mut operands: Vec<ArrayD<f64>> = self.sample.operands.iter().map(HostArray::to_f64_array).collect();
        self.float_operands.iter().zip(directions).for_each(|(&i, direction)| operands[i].scaled_add(step, direction));
        let results = self.sample.op.eval(&operands, &self.results);
        self.float_results.iter().flat_map(|&i| wrap(results[i].clone(), self.results[i].dtype).into_iter()).collect()
    }

    /// The derivative of the float results, one after the other, along `directions`: `(8 d(h) - d(2h)) / 12h` with
    /// `d(h) = f(x + h) - f(x - h)`, whose error is of order h^4.
    fn central_difference(&self, directions: &[ArrayD<f64>]) -> Vec<f64> {
        const STEP: f64 = 1e-3;
        let [near, near_back, far, far_back] = [1.0, -1.0, 2.0, -2.0].map(|k| self.moved(directions, k * STEP));
        (0..near.len()).map(|i| (8.0 * (near[i] - near_back[i]) - (far[i] - far_back[i])) / (12.0 * STEP)).collect()
    }

    /// The float results' tangents by central differences, one after the other.
    pub fn numeric_tangents(&self) -> Vec<f64> {
        let directions: Vec<ArrayD<f64>> = self.tangents.iter().map(HostArray::to_f64_array).collect();
        self.central_difference(&directions)
    }

    /// The float operands' cotangents by central differences, one element at a time.
    pub fn numeric_cotangents(&self) -> Vec<f64> {
        let weights: Vec<f64> = self.cotangents.iter().flat_map(HostArray::to_f64).collect();
        let shapes = self.tangents.iter().map(|tangent| tangent.shape().to_vec());
        let mut directions: Vec<ArrayD<f64>> = shapes.map(ArrayD::zeros).collect();
        let mut gradient = Vec::new();
        for operand in 0..directions.len() {
            for element in 0..directions[operand].len() {
                set(&mut directions[operand], element, 1.0);
                gradient.push(twinflow_tests::values::dot(&self.central_difference(&directions), &weights));
                set(&mut directions[operand], element, 0.0);
            }
        }
        gradient
    }
}

fn set(array: &mut ArrayD<f64>, element: usize, value: f64) {
    array.as_slice_mut().expect("a fresh array is contiguous")[element] = value;
}
