//! Values of every sample in the narrower float types, against the reference from the same rounded operands.

use twinflow_array::{DType, HostArray, TensorType};
use twinflow_compiler::{
    ops::{Family, Sample, catalogue},
    trace,
};
use twinflow_tests::{Tolerance, xla};

/// Families whose samples hold bodies or values of a fixed type.
const FIXED_TYPES: [&str; 4] = ["constant", "remat", "scan", "while_loop"];

#[test]
fn every_operation_runs_in_f32() {
    check(DType::F32, Tolerance::F32);
}

#[test]
fn every_operation_runs_in_f16() {
    check(DType::F16, Tolerance::HalfPrecision);
}

#[test]
fn every_operation_runs_in_bf16() {
    check(DType::BF16, Tolerance::HalfPrecision);
}

fn check(dtype: DType, tolerance: Tolerance) {
    let families = catalogue();
    let samples: Vec<Sample> =
        families.iter().filter(|family| !FIXED_TYPES.contains(&family.name)).flat_map(|f| narrow(f, dtype)).collect();
    let inputs: Vec<HostArray> = samples.iter().flat_map(|sample| sample.operands.clone()).collect();
    let mut outputs_of = Vec::new();
    let (program, ()) = trace(|t| {
        for sample in &samples {
            let types: Vec<TensorType> = sample.operands.iter().map(|operand| operand.ty().clone()).collect();
            let results = sample.apply(t, &t.inputs::<Vec<TensorType>>("", &types));
            outputs_of.extend(results.iter().map(|_| format!("{} {}", sample.op.name(), sample.op.attributes())));
            t.outputs("", &results);
        }
    })
    .unwrap_or_else(|error| panic!("{error}"));
    let outputs = xla::run(&program, &inputs);
    let checked = outputs.iter().zip(xla::reference(&program, &inputs)).zip(outputs_of);
    let mismatches: Vec<String> = checked
        .filter_map(|((output, expected), name)| {
            tolerance.mismatch(&output.to_f64(), &expected).map(|text| format!("{name}: {text}"))
        })
        .collect();
    assert!(mismatches.is_empty(), "{}", mismatches.join("\n"));
}

/// The family's samples with a float operand, rounded to `dtype`.
fn narrow(family: &Family, dtype: DType) -> Vec<Sample> {
    let float = |operand: &HostArray| operand.dtype().is_float();
    let round = |operand: &HostArray| if float(operand) { operand.convert(dtype) } else { operand.clone() };
    let has_float = family.samples.iter().filter(|sample| sample.operands.iter().any(float));
    has_float
        .map(|sample| Sample { op: sample.op.clone(), operands: sample.operands.iter().map(round).collect() })
        .collect()
}
