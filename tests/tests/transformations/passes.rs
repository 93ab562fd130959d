//! Simplification: what goes, what stays, and that the values do not change.

use twinflow_array::{DType, HostArray, TensorType};
use twinflow_compiler::{Program, Tensor, optimization_barrier, passes, remat, scan, stablehlo::Products, trace};
use twinflow_tests::{
    Tolerance,
    gradients::{gradient_program, traced},
    values::scattered,
    xla,
};

use crate::{arrays, f64s, types};

/// How often an operation occurs, bodies included.
fn count(program: &Program, name: &str) -> usize {
    program.histogram().into_iter().find(|(op, _)| *op == name).map_or(0, |(_, count)| count)
}

/// The simplified program, once it gives the same values.
fn simplified(program: &Program, inputs: &[HostArray]) -> Program {
    let simple = passes::simplify(program.clone());
    let (before, after) = (xla::reference(program, inputs), xla::reference(&simple, inputs));
    before.iter().zip(&after).for_each(|(before, after)| Tolerance::Exact.assert(after, before));
    simple
}

#[test]
fn dead_code_goes_out_of_programs_and_bodies() {
    let inputs = arrays(&[&[2], &[3, 2], &[2]]);
    let program = traced(&types(&inputs), |x| {
        let _unused = x[0].exp();
        let ((a, b), ys) = scan(&(x[0], x[0]), &vec![x[1], x[1] * 2.0], |(a, b), row| {
            // The second carry and the second y serve nothing but themselves.
            ((a * row[0], b.sin() + row[1]), (a, b.cos() * x[2]))
        });
        let _ = (b, ys.1);
        vec![a, ys.0]
    });
    let simple = simplified(&program, &inputs);
    let names = ["exp", "sin", "cos", "add"];
    assert_eq!(names.map(|name| count(&program, name)), [1, 1, 1, 1]);
    assert_eq!(names.map(|name| count(&simple, name)), [0; 4]);
    let scan = &simple.instructions[0];
    assert_eq!((simple.instructions.len(), scan.operands.len(), scan.results.len()), (1, 2, 2), "{simple}");
}

#[test]
fn a_carry_that_a_live_carry_reads_stays() {
    let inputs = arrays(&[&[2], &[3, 2]]);
    let program = traced(&types(&inputs), |x| {
        let ((a, _), _) = scan(&(x[0], x[0]), &x[1], |(a, b), row| ((a + b, b * row), a));
        vec![a]
    });
    let simple = simplified(&program, &inputs);
    assert_eq!(simple.instructions[0].results.len(), 2, "{simple}");
}

#[test]
fn equal_operations_are_shared_also_inside_bodies() {
    let inputs = arrays(&[&[2], &[3, 2]]);
    let program = traced(&types(&inputs), |x| {
        let twice = x[0].exp() + x[0].exp();
        let (last, _) = scan(&twice, &x[1], |carry, row| (carry.sin() * carry.sin(), row.tanh() + row.tanh()));
        vec![last]
    });
    let simple = simplified(&program, &inputs);
    assert_eq!((count(&program, "exp"), count(&program, "sin")), (2, 2));
    assert_eq!((count(&simple, "exp"), count(&simple, "sin"), count(&simple, "tanh")), (1, 1, 0));
}

#[test]
fn operations_with_other_attributes_are_not_shared() {
    let long: Vec<f64> = (0..20).map(f64::from).collect();
    let mut other = long.clone();
    other[19] = -1.0;
    let program = traced(&[f64s(&[2, 2])], |x| {
        let constant = |values: &[f64]| x[0].trace().constant(HostArray::from_slice([20], values).unwrap());
        let sums = [constant(&long), constant(&other), constant(&long)].map(Tensor::sum_all);
        vec![x[0].sum(&[0]), x[0].sum(&[1]), x[0].clamp(0.0, 1.0), x[0].clamp(0.0, 0.5), sums[0] - sums[1], sums[2]]
    });
    let simple = simplified(&program, &arrays(&[&[2, 2]]));
    assert_eq!((count(&simple, "reduce_sum"), count(&simple, "clamp"), count(&simple, "constant")), (4, 2, 2));
}

#[test]
fn barriers_and_remats_are_not_shared() {
    let program = traced(&[f64s(&[2])], |x| {
        let barrier = optimization_barrier(&[x[0]])[0] + optimization_barrier(&[x[0]])[0];
        vec![barrier, remat(&x[0], |x| x.exp()) + remat(&x[0], |x| x.exp())]
    });
    let simple = simplified(&program, &arrays(&[&[2]]));
    assert_eq!((count(&simple, "optimization_barrier"), count(&simple, "remat"), count(&simple, "exp")), (2, 2, 2));
}

#[test]
fn constants_fold_and_neutral_elements_vanish_also_inside_bodies() {
    let inputs = arrays(&[&[2], &[3, 2]]);
    let program = traced(&types(&inputs), |x| {
        fn neutral<'t>(x: Tensor<'t>) -> Tensor<'t> {
            let one = x.trace().scalar(DType::F64, 3.0) - 2.0;
            (x * one + 0.0 - 0.0) / 1.0 + x.zeros_like()
        }
        let (last, _) = scan(&neutral(x[0]), &x[1], |carry, row| (neutral(carry) * row, row));
        vec![last]
    });
    let simple = simplified(&program, &inputs);
    assert_eq!(["add", "sub", "div", "constant"].map(|name| count(&simple, name)), [0; 4], "{simple}");
    assert_eq!(count(&simple, "mul"), 1, "{simple}");
}

#[test]
fn folding_keeps_types_infinities_and_large_integers() {
    let vector = f64s(&[2]);
    let program = traced(std::slice::from_ref(&vector), |x| {
        let t = x[0].trace();
        let large = t.constant(HostArray::scalar(u64::MAX - 1));
        let infinite = x[0] / x[0].zeros_like();
        vec![
            // The scalar grows to the vector's shape: that addition does something.
            t.scalar(DType::F64, 0.5) + x[0].zeros_like(),
            infinite * 0.0 * 0.0,
            (t.scalar(DType::I32, 7.0) / t.scalar(DType::I32, 2.0)).convert(DType::F64),
            large,
        ]
    });
    let input = scattered(&vector, 0);
    let outputs = xla::run(&program, std::slice::from_ref(&input));
    assert_eq!(outputs[0].to_f64(), [0.5, 0.5]);
    assert!(outputs[1].to_f64().iter().all(|value| value.is_nan()));
    assert_eq!(outputs[2].to_f64(), [3.0]);
    assert_eq!(outputs[3].as_slice::<u64>().unwrap(), [u64::MAX - 1]);
}

#[test]
fn donated_inputs_and_names_survive() {
    let (program, ()) = trace(|t| {
        let state: Tensor<'_> = t.inputs("state", &f64s(&[2]));
        t.donate_inputs();
        let batch: Tensor<'_> = t.inputs("batch", &f64s(&[2]));
        t.outputs("metrics", &(batch * 2.0).sum_all());
        t.outputs("state", &(state + batch));
    })
    .unwrap();
    let simple = passes::simplify(program);
    assert_eq!((simple.donated, simple.input_names.len(), simple.output_names.len()), (1, 2, 2));
    let text = twinflow_compiler::stablehlo::lower(&simple, "step", Products::default(), false);
    assert!(text.contains("%arg0: tensor<2xf64> {tf.aliasing_output = 1 : i32}, %arg1: tensor<2xf64>)"), "{text}");
}

#[test]
fn listings_show_names_scopes_types_and_bodies() {
    let (program, ()) = trace(|t| {
        let (weight, bias): (Tensor<'_>, Tensor<'_>) = t.inputs("linear", &(f64s(&[2, 2]), f64s(&[2])));
        t.donate_inputs();
        let x: Tensor<'_> = t.inputs("x", &TensorType::new(DType::F64, [4, 2]));
        let hidden = t.scope("embed", || x.matmul(weight) + bias);
        let (last, _) = t.scope("blocks", || {
            scan(&bias, &hidden, |carry, row| (t.scope("attn", || carry.tanh() * row + weight.sum(&[0])), row))
        });
        t.outputs("loss", &remat(&last, |x| x.square().sum_all()));
    })
    .unwrap();
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("program_listing", program.to_string());
        insta::assert_snapshot!("program_listing_simplified", passes::simplify(program).to_string());
    });
}

#[test]
fn locations_name_the_module_and_the_line_of_each_operation() {
    let line = line!() + 3;
    let (program, ()) = trace(|t| {
        let x: Tensor<'_> = t.inputs("x", &f64s(&[2]));
        t.outputs("y", &t.scope("head", || x.exp()));
    })
    .unwrap();
    let text = twinflow_compiler::stablehlo::lower(&program, "main", Products::default(), true);
    let location = format!("loc(\"head/exp\"({:?}:{line}:", file!());
    assert!(text.contains(&format!("stablehlo.exponential %arg0 : tensor<2xf64> {location}")), "{text}");
    assert_eq!(xla::run(&program, &[HostArray::from_slice([2], &[0.0, 0.0]).unwrap()])[0].to_f64(), [1.0, 1.0]);
}

/// Profiles show where the time goes by the locations of products, which are in bodies of loops.
#[test]
fn operations_in_bodies_have_their_own_locations() {
    const LINE: u32 = line!() + 2;
    fn layer<'t>(x: Tensor<'t>, w: Tensor<'t>) -> Tensor<'t> {
        x.trace().scope("mlp", || x.matmul(w).tanh())
    }
    fn loss<'t>(x: Tensor<'t>, weights: Tensor<'t>) -> Tensor<'t> {
        let step = |x: Tensor<'t>, w: Tensor<'t>| {
            let y = remat(&(x, w), |(x, w): (Tensor<'t>, Tensor<'t>)| layer(x, w));
            (y, None::<Tensor<'t>>)
        };
        x.trace().scope("blocks", || scan(&x, &weights, step).0.sum_all())
    }
    let program = gradient_program(&[f64s(&[3, 3]), f64s(&[2, 3, 3])], |v| loss(v[0], v[1]));
    let text = twinflow_compiler::stablehlo::lower(&passes::simplify(program), "main", Products::default(), true);
    let count = |what: &str, location: &str| {
        let of_kind = text.lines().filter(|line| line.contains(what));
        let (right, wrong): (Vec<&str>, Vec<&str>) = of_kind.partition(|line| line.contains(location));
        assert!(wrong.is_empty(), "{wrong:?}");
        right.len()
    };
    let product = format!("loc(\"blocks/mlp/dot_general\"({:?}:{LINE}:", file!());
    assert_eq!(count("stablehlo.dot_general", &product), 4, "forward, again, and two derivatives: {text}");
    assert_eq!(count("stablehlo.tanh", "loc(\"blocks/mlp/tanh\"("), 2, "{text}");
    assert_eq!(count("stablehlo.dynamic_slice", "loc(\"blocks/scan\"("), 3, "{text}");
    assert_eq!(text.matches("} loc(\"blocks/scan\"(").count(), 2, "{text}");
    xla::client().compile(&text, &xla::quick()).unwrap();
}
