//! What a user is told when a function cannot be traced.

use std::cell::Cell;

use twinflow_array::DType;
use twinflow_compiler::{Tensor, TraceError, TraceErrorKind, grad, remat, scan, trace, while_loop};

use crate::f64s;

#[test]
fn a_type_error_names_operands_module_and_line() {
    let line = Cell::new(0);
    let error = trace(|t| {
        let (a, b) = (t.full(f64s(&[2]), 1.0), t.full(f64s(&[3]), 1.0));
        t.scope("blocks", || {
            t.scope("attn", || {
                line.set(line!() + 1);
                a + b
            });
        });
    })
    .unwrap_err();
    let message = error.to_string();
    let place = format!("tests/transformations/errors.rs:{}:", line.get());
    assert!(message.starts_with("add(f64[2], f64[3]): operands have different shapes, f64[2] and f64[3]"), "{message}");
    assert!(message.contains(", in module blocks/attn, at ") && message.contains(&place), "{message}");
}

#[test]
fn a_failed_scope_does_not_outlive_its_trace() {
    let failing = |t: &twinflow_compiler::Trace| t.scope("first", || t.fail("model", "no such width"));
    assert_eq!(trace(|t| failing(t)).map(|_| ()).unwrap_err().scope, "first");
    let second = trace(|t| t.fail("model", "again")).map(|(_, ())| ()).unwrap_err();
    assert_eq!((second.scope.as_str(), second.kind), ("", TraceErrorKind::Model("again".into())));
}

#[test]
fn a_tensor_that_leaves_its_body_is_reported() {
    let by_scan = trace(|t| {
        let x = t.full(f64s(&[3, 2]), 1.0);
        let leaked = Cell::new(x);
        scan(&x, &x, |carry, row| {
            leaked.set(row * 2.0);
            (carry, row)
        });
        t.outputs("", &(leaked.get() + 1.0));
    });
    let by_remat = trace(|t| {
        let x = t.full(f64s(&[2]), 1.0);
        let leaked = Cell::new(x);
        remat(&x, |x| {
            leaked.set(x.exp());
            x
        });
        t.outputs("", &leaked.get());
    });
    for error in [by_scan.unwrap_err(), by_remat.unwrap_err()] {
        assert_eq!(error.kind, TraceErrorKind::Leaked);
        assert!(error.location.contains("transformations/errors.rs"), "{error}");
    }
}

#[test]
fn tensors_of_two_traces_do_not_meet() {
    let outer = trace(|t| {
        let x = t.full(f64s(&[2]), 1.0);
        let inner = trace(|inner| {
            let _ = inner.full(f64s(&[2]), 2.0) + x;
        });
        inner.unwrap_err().kind
    });
    assert_eq!(outer.unwrap().1, TraceErrorKind::OtherTrace);
}

fn sampled<'t>(x: Tensor<'t>) -> Tensor<'t> {
    x.trace()
        .scope("sampler", || while_loop(&x, |x: Tensor<'t>| x.sum_all().lt(9.0), |x: Tensor<'t>| x * 2.0).sum_all())
}

const SAMPLED_LINE: u32 = line!() - 3;

#[test]
fn a_missing_rule_is_reported_where_the_model_uses_the_operation() {
    let error: TraceError = trace(|t| {
        let x = t.full(f64s(&[3]), 1.0);
        // The same through a scan and a remat, whose rules replay their bodies.
        grad(&x, |x| {
            let (last, _) = scan(&x, &x, |carry, _| (remat(&carry, |carry| carry + sampled(carry)), carry));
            last.sum_all()
        });
    })
    .unwrap_err();
    let message = error.to_string();
    assert!(message.starts_with("while(f64[3]"), "{message}");
    assert!(message.contains("there is no reverse rule: use scan"), "{message}");
    assert!(message.contains("in module sampler"), "{message}");
    assert!(message.contains(&format!("tests/transformations/errors.rs:{SAMPLED_LINE}:")), "{message}");
}

#[test]
fn wrong_loops_are_reported() {
    let condition = trace(|t| {
        while_loop(&t.full(f64s(&[2]), 1.0), |x| x.lt(1.0), |x| x);
    })
    .unwrap_err();
    assert!(condition.to_string().contains("the loop's condition is not one bool scalar"), "{condition}");
    let body = trace(|t| {
        while_loop(&t.scalar(DType::I32, 0.0), |i| i.lt(1.0), |i| i.convert(DType::F32));
    });
    let body = body.unwrap_err().to_string();
    assert!(body.contains("a carry comes back from the loop's body as f32[]"), "{body}");
}

#[test]
fn a_panic_of_the_model_is_not_swallowed() {
    let result = std::panic::catch_unwind(|| trace(|_| std::panic::resume_unwind(Box::new("model's own"))).map(|_| ()));
    assert_eq!(*result.unwrap_err().downcast::<&str>().unwrap(), "model's own");
}
