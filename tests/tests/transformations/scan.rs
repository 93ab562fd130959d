//! Scans: against unrolled loops, in both modes, nested, with every mix of what is derived for.

use twinflow_array::{DType, HostArray, TensorType};
use twinflow_compiler::{Program, Tensor, grad, jvp, remat, scan, trace};
use twinflow_tests::{
    Tolerance,
    gradients::{checked_gradient, gradient_program, traced},
    values::scattered,
    xla,
};

use crate::{arrays, f64s, types};

const LENGTH: usize = 3;

/// Row i of a tensor, without control flow.
fn row(x: Tensor<'_>, i: usize) -> Tensor<'_> {
    let ty = x.ty().with_shape([x.dim(0)]).with_dtype(DType::I32);
    let hit = x.trace().iota(ty, 0).eq(i as f64);
    let shape: Vec<usize> = (0..x.rank()).map(|dim| if dim == 0 { x.dim(0) } else { 1 }).collect();
    hit.reshape(shape).select(x, x.zeros_like()).sum(&[0])
}

/// Rows put on each other.
fn stack<'t>(rows: &[Tensor<'t>]) -> Tensor<'t> {
    let first = rows[0];
    let shape = [&[rows.len()][..], &first.shape()].concat();
    let ty = first.ty().with_shape(shape.clone()).with_dtype(DType::I32);
    let number = first.trace().iota(ty, 0);
    let put = |sum: Tensor<'t>, (i, row): (usize, &Tensor<'t>)| {
        number.eq(i as f64).select(row.broadcast_to(shape.clone()), sum)
    };
    rows.iter().enumerate().fold(first.trace().full(first.ty().with_shape(shape.clone()), 0.0), put)
}

/// Carries and ys.
type Results<'t> = (Vec<Tensor<'t>>, Vec<Tensor<'t>>);

/// A loop's body on plain lists.
type Body<'a, 't> = &'a dyn Fn(&[Tensor<'t>], &[Tensor<'t>]) -> Results<'t>;

/// How a loop is run: [`scan`], or [`unrolled`].
type Loop = for<'a, 't> fn(&[Tensor<'t>], &[Tensor<'t>], Body<'a, 't>) -> Results<'t>;

fn scanned<'t>(init: &[Tensor<'t>], xs: &[Tensor<'t>], body: Body<'_, 't>) -> Results<'t> {
    scan(&init.to_vec(), &xs.to_vec(), |carry, x| body(&carry, &x))
}

fn unrolled<'t>(init: &[Tensor<'t>], xs: &[Tensor<'t>], body: Body<'_, 't>) -> Results<'t> {
    let mut carry = init.to_vec();
    let mut columns: Vec<Vec<Tensor<'t>>> = Vec::new();
    for i in 0..xs[0].dim(0) {
        let rows: Vec<Tensor<'t>> = xs.iter().map(|&x| row(x, i)).collect();
        let (next, ys) = body(&carry, &rows);
        carry = next;
        columns.push(ys);
    }
    let ys = (0..columns[0].len()).map(|k| stack(&columns.iter().map(|ys| ys[k]).collect::<Vec<_>>())).collect();
    (carry, ys)
}

/// Two carries, two xs, two captured weights; ys of which one does not depend on the carries.
fn recurrence<'t>(run: Loop, x: &[Tensor<'t>]) -> Vec<Tensor<'t>> {
    let [a, b, p, q, weight, bias] = *x else { panic!("six tensors") };
    let (carries, ys) = run(&[a, b], &[p, q], &|carry, x| {
        let [a, b] = [carry[0], carry[1]];
        let hidden = (a.expand_dims(0).matmul(weight).squeeze(0) + bias * x[0]).tanh();
        let gate = (b * x[1]).sigmoid();
        (vec![hidden * gate + a, (b + hidden).sin()], vec![hidden * x[1].exp(), x[0] * bias])
    });
    [carries, ys].concat()
}

fn recurrence_inputs() -> Vec<HostArray> {
    arrays(&[&[2], &[2], &[LENGTH, 2], &[LENGTH, 2], &[2, 2], &[2]])
}

/// The weighted sum of the outputs whose bit is set.
fn loss<'t>(outputs: &[Tensor<'t>], bits: usize) -> Tensor<'t> {
    let chosen = outputs.iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1);
    let terms = chosen.map(|(i, y)| (*y * (0.5 + i as f64)).square().sum_all());
    terms.reduce(|a, b| a + b).expect("some bit is set")
}

#[test]
fn every_mix_of_operands_and_results_has_the_gradient_of_the_unrolled_loop() {
    let inputs = recurrence_inputs();
    let gradients = |run: Loop, operands: usize, results: usize| {
        traced(&types(&inputs), |x| {
            let chosen: Vec<usize> = (0..x.len()).filter(|i| operands >> i & 1 == 1).collect();
            let variables: Vec<Tensor<'_>> = chosen.iter().map(|&i| x[i]).collect();
            grad(&variables, |variables| {
                let mut x = x.clone();
                chosen.iter().zip(variables).for_each(|(&i, variable)| x[i] = variable);
                loss(&recurrence(run, &x), results)
            })
        })
    };
    for operands in 1..1 << 6 {
        for results in [0b1111, 0b0001, 0b0010, 0b0100, 0b1000, 0b1010] {
            let found = xla::reference(&gradients(scanned, operands, results), &inputs);
            let expected = xla::reference(&gradients(unrolled, operands, results), &inputs);
            for (found, expected) in found.iter().zip(&expected) {
                let mismatch = Tolerance::F64.mismatch(found, expected);
                assert_eq!(mismatch, None, "operands {operands:06b}, results {results:04b}");
            }
        }
    }
}

#[test]
fn values_and_gradients_by_xla_are_those_of_the_unrolled_loop() {
    let inputs = recurrence_inputs();
    let values =
        |run: Loop| xla::run_checked(&traced(&types(&inputs), |x| recurrence(run, &x)), &inputs, Tolerance::F64);
    for (a, b) in values(scanned).iter().zip(values(unrolled)) {
        Tolerance::F64.assert(a, &b);
    }
    let by_scan = checked_gradient(&inputs, |x| loss(&recurrence(scanned, &x), 0b1111));
    let by_hand = xla::run(&gradient_program(&types(&inputs), |x| loss(&recurrence(unrolled, &x), 0b1111)), &inputs);
    for (a, b) in by_scan.iter().zip(by_hand) {
        Tolerance::F64.assert(a, &b.to_f64());
    }
}

/// A body of two carries, one x and one weight.
type Step = for<'t> fn(&[Tensor<'t>], Tensor<'t>, Tensor<'t>) -> Results<'t>;

#[test]
fn carries_that_are_replaced_kept_or_swapped_have_the_right_gradients() {
    let inputs = arrays(&[&[2], &[2], &[LENGTH, 2], &[2]]);
    let bodies: [Step; 6] = [
        // The carry's first value is read, then replaced by an x.
        |c, x, w| (vec![x, c[1] * w], vec![c[0] * x, c[1]]),
        // It is replaced by what nothing is derived for.
        |c, x, _| (vec![x.full_like(0.7), c[1].full_like(2.0)], vec![c[0] * c[1], x]),
        // Both stay as they are.
        |c, x, _| (vec![c[0], c[1]], vec![c[0] * x, c[1] * c[0]]),
        // They swap.
        |c, x, w| (vec![c[1] * w, c[0] + x], vec![c[0] * c[1], x]),
        // A constant is handed out as it is, and one carry serves nothing.
        |c, x, w| (vec![c[0] + 1.0, c[1] * 2.0], vec![w, x]),
        // The same value goes out twice.
        |c, x, w| {
            let s = (c[0] * x + w).sin();
            (vec![s, s], vec![s, s])
        },
    ];
    for (number, body) in bodies.into_iter().enumerate() {
        for results in 1..1 << 4 {
            let gradient = |run: Loop| {
                let program = gradient_program(&types(&inputs), |v| {
                    let (c, ys) = run(&v[..2], &v[2..3], &|c, x| body(c, x[0], v[3]));
                    loss(&[c, ys].concat(), results)
                });
                xla::reference(&program, &inputs)
            };
            for (found, expected) in gradient(scanned).iter().zip(&gradient(unrolled)) {
                let mismatch = Tolerance::F64.mismatch(found, expected);
                assert_eq!(mismatch, None, "body {number}, results {results:04b}");
            }
        }
        checked_gradient(&inputs, |v| {
            let (c, ys) = scanned(&v[..2], &v[2..3], &|c, x| body(c, x[0], v[3]));
            loss(&[c, ys].concat(), 0b1111)
        });
    }
}

#[test]
fn integer_carries_and_xs_pass_through() {
    let mut inputs = arrays(&[&[2], &[2]]);
    inputs.push(HostArray::from_slice([4], &[1i32, 0, 2, 1]).unwrap());
    let gradient = checked_gradient(&inputs, |x| {
        let (weight, labels) = (x[1], x[2]);
        let count = x[0].trace().scalar(DType::I32, 1.0);
        let ((state, last), ys) = scan(&(x[0], count), &labels, |(state, count), label| {
            let scale = (count * label).convert(DType::F64) * 0.3;
            let next = (state * scale + weight).tanh();
            let state = label.gt(0.0).select(next, state);
            ((state, count + 1.0), (state * weight, count + label))
        });
        (state * ys.1.sum_all().convert(DType::F64) + ys.0.sum(&[0]) * last.convert(DType::F64)).sum_all()
    });
    assert_eq!(gradient[2], [0.0; 4]);
}

/// `x[i] * w + c` three times, inside a loop over rows.
fn nested<'t>(x: Vec<Tensor<'t>>) -> Tensor<'t> {
    let [start, rows, weight] = x[..] else { panic!("three tensors") };
    let (last, ys) = scan(&start, &rows, |carry, row| {
        let (inner, sums) = scan(&carry, &row, |carry, x| {
            let next = (carry * x + weight).tanh();
            (next, (next * weight).exp())
        });
        (inner * weight, sums.sum(&[0]) + inner)
    });
    (last.square() + ys.sum(&[0])).sum_all()
}

#[test]
fn nested_scans_have_the_right_gradient() {
    checked_gradient(&arrays(&[&[2], &[3, 4, 2], &[2]]), nested);
}

#[test]
fn the_gradient_of_a_scan_can_be_derived_again() {
    fn norm<'t>(gradient: &[Tensor<'t>]) -> Tensor<'t> {
        gradient.iter().map(|g| g.square().sum_all()).reduce(|a, b| a + b).expect("there are arguments")
    }
    checked_gradient(&recurrence_inputs(), |x| {
        let gradient = grad(&x, |x| loss(&recurrence(scanned, &x), 0b0111));
        norm(&gradient)
    });
    checked_gradient(&arrays(&[&[2], &[2, 3, 2], &[2]]), |x| {
        let gradient = grad(&x, nested);
        norm(&gradient)
    });
}

#[test]
fn forward_over_reverse_through_a_scan_equals_reverse_over_reverse() {
    let inputs = recurrence_inputs();
    let direction: Vec<HostArray> = inputs.iter().enumerate().map(|(i, x)| scattered(x.ty(), 30 + i)).collect();
    let all = [&inputs[..], &direction].concat();
    let program = traced(&types(&all), |all| {
        let (x, v) = all.split_at(inputs.len());
        let gradient = |x: Vec<_>| grad(&x, |x| loss(&recurrence(scanned, &x), 0b1111));
        let forward = jvp(&x.to_vec(), &v.to_vec(), gradient).1;
        let reverse = grad(&x.to_vec(), |x| {
            let gradient = grad(&x, |x| loss(&recurrence(scanned, &x), 0b1111));
            gradient.iter().zip(v).map(|(&g, &v)| (g * v).sum_all()).reduce(|a, b| a + b).unwrap()
        });
        [forward, reverse].concat()
    });
    let outputs = xla::run_checked(&program, &all, Tolerance::F64);
    let (forward, reverse) = outputs.split_at(inputs.len());
    forward.iter().zip(reverse).for_each(|(a, b)| Tolerance::F64.assert(a, b));
}

#[test]
fn a_gradient_taken_inside_the_body_can_be_derived() {
    checked_gradient(&arrays(&[&[2], &[3, 2], &[2]]), |x| {
        let [start, xs, weight] = x[..] else { panic!("three tensors") };
        let (last, _) = scan(&start, &xs, |carry, x| {
            let step = grad(&carry, |carry| ((carry * weight).sin() * x).sum_all());
            (carry - step * 0.3, carry)
        });
        last.square().sum_all()
    });
}

#[test]
fn a_pullback_through_a_scan_can_be_applied_twice() {
    let inputs = recurrence_inputs();
    let program = traced(&types(&inputs), |x| {
        let (y, pullback) = twinflow_compiler::vjp(&x, |x| recurrence(scanned, &x));
        let doubled: Vec<Tensor<'_>> = y.iter().map(|y| *y * 2.0).collect();
        let (once, twice) = (pullback.apply(&y), pullback.apply(&doubled));
        once.into_iter().zip(twice).map(|(a, b)| a * 2.0 - b).collect()
    });
    for difference in xla::run_checked(&program, &inputs, Tolerance::F64) {
        assert!(difference.iter().all(|value| value.abs() < 1e-12), "{difference:?}");
    }
}

/// How many results the program's scans have in all, after simplification.
fn scan_results(program: &Program) -> Vec<usize> {
    let simple = twinflow_compiler::passes::simplify(program.clone());
    let scans = simple.instructions.iter().filter(|instruction| instruction.op.name() == "scan");
    scans.map(|scan| scan.results.len()).collect()
}

#[test]
fn only_what_the_reverse_pass_needs_is_kept() {
    // tanh keeps its result; the products with xs and constants are handed over or computed again.
    let inputs = arrays(&[&[2], &[LENGTH, 2], &[2]]);
    let program = gradient_program(&types(&inputs), |x| {
        let (last, _) = scan(&x[0], &x[1], |carry, row| {
            let next = ((carry * row + x[2]) * 2.0 - row).tanh();
            (next, next.trace().scalar(DType::F64, 0.0))
        });
        last.sum_all()
    });
    // Forward: the last carry, and per step the carry before and tanh.
    // Reverse: the cotangents of the carry and the weight as carries, that of the xs stacked.
    assert_eq!(scan_results(&program), [3, 3]);
}

#[test]
fn layers_under_remat_keep_only_their_input() {
    let depth = 4;
    let inputs = arrays(&[&[3, 5], &[depth, 5, 8], &[depth, 8, 5]]);
    fn layers<'t>(x: Vec<Tensor<'t>>, rematerialise: bool) -> Tensor<'t> {
        fn block<'t>((x, up, down): (Tensor<'t>, Tensor<'t>, Tensor<'t>)) -> Tensor<'t> {
            x + x.matmul(up).gelu().matmul(down).tanh()
        }
        let (last, _) = scan(&x[0], &vec![x[1], x[2]], |carry, w| {
            let args = (carry, w[0], w[1]);
            let next = if rematerialise { remat(&args, block) } else { block(args) };
            (next, Vec::<Tensor<'t>>::new())
        });
        last.square().sum_all()
    }
    let plain = gradient_program(&types(&inputs), |x| layers(x, false));
    let again = gradient_program(&types(&inputs), |x| layers(x, true));
    let (plain_results, again_results) = (scan_results(&plain), scan_results(&again));
    // The last carry and the stack of inputs, nothing else.
    assert_eq!(again_results[0], 2);
    assert!(plain_results[0] > 2, "{plain_results:?}");
    let plain = xla::run_checked(&plain, &inputs, Tolerance::F64);
    let again = xla::run_checked(&again, &inputs, Tolerance::F64);
    plain.iter().zip(&again).for_each(|(a, b)| Tolerance::F64.assert(a, b));
}

#[test]
fn a_loop_of_one_step_works() {
    checked_gradient(&arrays(&[&[2], &[1, 2], &[2]]), |x| {
        let (last, ys) = scan(&x[0], &x[1], |carry, row| ((carry * row + x[2]).tanh(), carry * row));
        (last + ys.sum(&[0])).sum_all()
    });
}

#[test]
fn tuples_and_nothing_are_structures() {
    let inputs = arrays(&[&[LENGTH, 2]]);
    let program = traced(&types(&inputs), |x| {
        let (_, doubled) = scan(&Vec::<Tensor<'_>>::new(), &x[0], |none, row| (none, (row * 2.0, row)));
        vec![doubled.0 - x[0] * 2.0, doubled.1 - x[0]]
    });
    let outputs = xla::run_checked(&program, &inputs, Tolerance::Exact);
    assert_eq!(outputs, vec![vec![0.0; LENGTH * 2]; 2]);
}

#[test]
fn wrong_bodies_and_stacks_are_errors() {
    let message = |f: &dyn for<'t> Fn(Tensor<'t>)| {
        let traced = trace(|t| f(t.full(f64s(&[LENGTH, 2]), 1.0)));
        traced.map(|_| ()).unwrap_err().to_string()
    };
    let carry = message(&|x| {
        scan(&x.sum(&[0]), &x, |carry, row| (carry.sum_all(), row));
    });
    assert!(carry.contains("a carry comes back from the loop's body as f64[]"), "{carry}");
    let lengths = message(&|x| {
        scan(&x, &vec![x, x.transpose(&[1, 0])], |carry, rows| (carry, rows[0]));
    });
    assert!(lengths.contains("differ in their first dim: f64[3, 2], f64[2, 3]"), "{lengths}");
    let scalars = message(&|x| {
        scan(&x, &x.sum_all(), |carry, row| (carry, row));
    });
    assert!(scalars.contains("scan"), "{scalars}");
    let empty: TensorType = f64s(&[0, 2]);
    let none = message(&|x| {
        scan(&x, &x.trace().full(empty.clone(), 0.0), |carry, row| (carry, row));
    });
    assert!(none.contains("scan"), "{none}");
}
