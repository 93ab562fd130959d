//! Values and derivatives of every sample: one program per family, in f64.

use twinflow_array::HostArray;
use twinflow_compiler::{
    TraceErrorKind, jvp,
    ops::{Family, Sample, catalogue},
    trace, vjp,
};
use twinflow_tests::{Tolerance, values::dot, xla};

use crate::case::{Case, Outputs};

/// The families without derivative rules: `while` does not know how many residuals it would have to keep.
const WITHOUT_RULES: [&str; 1] = ["while_loop"];

#[test]
fn xla_agrees_with_the_reference_and_with_central_differences() {
    let mismatches: Vec<String> = catalogue().iter().flat_map(check_family).collect();
    assert!(mismatches.is_empty(), "{}", mismatches.join("\n"));
}

/// What is wrong with a family's samples.
fn check_family(family: &Family) -> Vec<String> {
    let cases: Vec<Case> = family
        .samples
        .iter()
        .enumerate()
        .map(|(i, sample)| {
            let name = format!("{}[{i}] {} {}", family.name, sample.op.name(), sample.op.attributes());
            Case::new(name, sample, !WITHOUT_RULES.contains(&family.name))
        })
        .collect();
    let traced = trace(|t| cases.iter().for_each(|case| case.record(t)));
    let program = traced.unwrap_or_else(|error| panic!("{error}")).0;
    let inputs: Vec<HostArray> = cases.iter().flat_map(Case::inputs).collect();
    let actual: Vec<Vec<f64>> = xla::run(&program, &inputs).iter().map(HostArray::to_f64).collect();
    let expected = xla::reference(&program, &inputs);
    let (mut actual, mut expected) = (&actual[..], &expected[..]);
    cases.iter().flat_map(|case| check_case(case, &case.take(&mut actual), &case.take(&mut expected))).collect()
}

fn check_case(case: &Case, actual: &Outputs<'_>, expected: &Outputs<'_>) -> Vec<String> {
    let mut mismatches = Vec::new();
    let mut check = |what: &str, tolerance: Tolerance, actual: &[f64], expected: &[f64]| {
        let mismatch = tolerance.mismatch(actual, expected);
        mismatches.extend(mismatch.map(|mismatch| format!("{}: {what}: {mismatch}", case.name)));
    };
    let pairs = [
        ("value", actual.results, expected.results),
        ("tangent", actual.result_tangents, expected.result_tangents),
        ("cotangent", actual.operand_cotangents, expected.operand_cotangents),
    ];
    for (what, actual, expected) in pairs {
        actual.iter().zip(expected).for_each(|(a, e)| check(what, Tolerance::F64, a, e));
    }
    if !case.tangents.is_empty() {
        let (y_dot, x_bar) = (actual.result_tangents.concat(), actual.operand_cotangents.concat());
        check("tangent and central difference", Tolerance::Derivative, &y_dot, &case.numeric_tangents());
        check("cotangent and central difference", Tolerance::Derivative, &x_bar, &case.numeric_cotangents());
        // <y_bar, J x_dot> = <J^T y_bar, x_dot>, with the sizes of the terms as the scale.
        let flat = |arrays: &[HostArray]| arrays.iter().flat_map(HostArray::to_f64).collect::<Vec<f64>>();
        let (x_dot, y_bar) = (flat(&case.tangents), flat(&case.cotangents));
        let scale = dot(&y_dot, &y_dot).sqrt() * dot(&y_bar, &y_bar).sqrt();
        check("duality", Tolerance::F64, &[dot(&y_bar, &y_dot), scale], &[dot(&x_bar, &x_dot), scale]);
    }
    mismatches
}

#[test]
fn while_loops_say_that_they_have_no_derivatives() {
    let families = catalogue();
    let samples = families.iter().filter(|family| WITHOUT_RULES.contains(&family.name)).flat_map(|f| &f.samples);
    for sample in samples {
        for (rule, kind) in [("reverse", derive_reverse(sample)), ("forward", derive_forward(sample))] {
            assert_eq!(kind, TraceErrorKind::NoRule { rule, hint: "use scan, whose number of steps is fixed" });
        }
    }
}

fn types(sample: &Sample) -> Vec<twinflow_array::TensorType> {
    sample.operands.iter().map(|operand| operand.ty().clone()).collect()
}

fn derive_reverse(sample: &Sample) -> TraceErrorKind {
    let traced = trace(|t| {
        let (out, pullback) = vjp(&t.inputs("", &types(sample)), |x| sample.apply(t, &x));
        t.outputs("", &pullback.apply(&out));
    });
    traced.expect_err("there is no rule").kind
}

fn derive_forward(sample: &Sample) -> TraceErrorKind {
    let traced = trace(|t| {
        let x: Vec<_> = t.inputs("", &types(sample));
        t.outputs("", &jvp(&x, &x, |x| sample.apply(t, &x)).1);
    });
    traced.expect_err("there is no rule").kind
}
