//! Values of every sample in the narrower float types, against the reference from the same rounded operands.

use twinflow_array::{DType, HostArray, TensorType};
use twinflow_compiler::{
    ConvConfig, Program, Tensor, grad,
    ops::{Family, Sample, catalogue},
    passes, scan,
    stablehlo::{Products, lower},
    trace,
};
use twinflow_pjrt::CompileOptions;
use twinflow_tests::{Tolerance, gradients::traced, values::scattered, xla};

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

/// Small whole numbers are exact in bf16, and so are their products; their sums, here up to 2,700, are only in f32. (The
/// gradient of a product with several leading dims once ended in a kernel that refuses bf16.)
#[test]
fn products_in_bf16_are_summed_in_f32() {
    let whole = |shape: &[usize]| {
        let ty = TensorType::new(DType::F32, shape);
        let values: Vec<f64> = (0..ty.shape.elements()).map(|i| (i % 7) as f64 - 2.0).collect();
        HostArray::from_f64(ty, &values).unwrap()
    };
    let batches = [whole(&[2, 3, 4, 50]), whole(&[50, 6])];
    let inputs = [whole(&[2, 6, 6, 20]), whole(&[3, 3, 20, 5]), whole(&[16, 300]), whole(&[300, 4])];
    // Rows that cannot be parted in two, as XLA:CPU wants them in the gradient of the right operand.
    let rows = [whole(&[7, 30]), whole(&[30, 4]), whole(&[1, 30]), whole(&[30, 4])];
    let inputs = [&inputs[..], &batches, &rows].concat();
    let types: Vec<TensorType> = inputs.iter().map(|input| input.ty().clone()).collect();
    let program = traced(&types, |v| {
        // Cotangents of 1 keep the gradients whole numbers too.
        let gradients = grad(&v, |v| products(&v).map(Tensor::sum_all).into_iter().reduce(|a, b| a + b).unwrap());
        products(&v).into_iter().chain(gradients).collect()
    });
    let outputs = xla::run_checked(&program, &inputs, Tolerance::Exact);
    assert!(outputs[0].iter().any(|sum| *sum > 256.0 && *sum % 2.0 == 1.0), "no sum needs more than 8 bits");
}

fn products<'t>(v: &[Tensor<'t>]) -> [Tensor<'t>; 5] {
    let config = ConvConfig::new(2).with_padding(1);
    let trace = v[0].trace();
    trace.compute_in(Some(DType::BF16), || {
        let convolved = v[0].conv(v[1], config);
        [convolved, v[2].matmul(v[3]), v[4].matmul(v[5]), v[6].matmul(v[7]), v[8].matmul(v[9])]
    })
}

/// A sum whose cotangents do not hang on how the products were rounded.
fn weighted_sum(y: Tensor<'_>) -> Tensor<'_> {
    (y * y.trace().constant(scattered(&y.ty(), 77))).sum_all()
}

/// The products of [`products`] and their gradients, of numbers that bf16 rounds.
fn rounded_products() -> (Program, Vec<HostArray>) {
    // Gradients whose sides are prime or one: XLA's bf16 kernels want some of these written in another way.
    let shapes: [&[usize]; 10] = [
        &[2, 6, 6, 20],
        &[3, 3, 20, 5],
        &[32, 32],
        &[32, 2],
        &[31, 16],
        &[16, 5],
        &[32, 5],
        &[5, 3],
        &[7, 30],
        &[30, 1],
    ];
    let types = shapes.map(TensorType::f32);
    let program = traced(&types, |v| {
        let gradients = grad(&v, |v| products(&v).map(weighted_sum).into_iter().reduce(|a, b| a + b).unwrap());
        products(&v).into_iter().chain(gradients).collect()
    });
    let inputs = types.iter().enumerate().map(|(i, ty)| scattered(ty, i)).collect();
    (passes::simplify(program), inputs)
}

#[test]
fn bf16_products_are_the_same_numbers_where_the_plugin_has_no_kernels_for_them() {
    let (program, inputs) = rounded_products();
    let [native, widened] = [true, false]
        .map(|native_bf16| lower(&program, "main", Products { native_bf16, ..Products::default() }, false));
    let narrow = |text: &str| {
        let mut products = text.lines().filter(|line| line.contains("dot_general") || line.contains(".convolution("));
        products.any(|line| line.contains("bf16"))
    };
    assert!(narrow(&native) && !narrow(&widened), "{widened}");
    // XLA's own choice of passes: it must neither drop the rounding nor end in a kernel that refuses bf16.
    let run = |text: &str| xla::run_text(text, &CompileOptions::default(), std::slice::from_ref(&inputs)).remove(0);
    let in_f32 = xla::reference(&program, &inputs);
    for ((native, widened), exact) in run(&native).iter().zip(run(&widened)).zip(in_f32) {
        Tolerance::F32.assert(&widened.to_f64(), &native.to_f64());
        assert!(Tolerance::F32.mismatch(&widened.to_f64(), &exact).is_some(), "nothing was rounded");
    }
}

/// The policy of the trace holds in bodies of loops and ends with its function; derivatives keep their product's type.
#[test]
fn products_are_taken_in_the_type_that_the_trace_says() {
    fn loss<'t>(v: &[Tensor<'t>]) -> Tensor<'t> {
        let (x, weights, t) = (v[0], v[1], v[0].trace());
        let x = t.compute_in(None, || x.matmul(x));
        let product = t.compute_in(Some(DType::BF16), || {
            let step = |x: Tensor<'t>, w: Tensor<'t>| (x.matmul(w), None::<Tensor<'t>>);
            let (y, _) = scan(&x, &weights, step);
            t.compute_in(Some(DType::F64), || y.matmul(x))
        });
        product.sum_all()
    }
    let types = [TensorType::f32([3, 3]), TensorType::f32([2, 3, 3])];
    let program = traced(&types, |v| v[0].trace().compute_in(Some(DType::F16), || grad(&v, |v| loss(&v))));
    let mut counts = std::collections::BTreeMap::new();
    program.for_each_instruction(&mut |instruction| {
        if instruction.op.name() == "dot_general" {
            let attributes = instruction.op.attributes();
            let compute = attributes.split("compute: ").nth(1).unwrap().trim_end_matches(" }").to_owned();
            *counts.entry(compute).or_insert(0) += 1;
        }
    });
    // Each product has two derivatives.
    let expected = ["None", "Some(BF16)", "Some(F64)"].map(|compute| (compute.to_owned(), 3));
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), expected);
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
