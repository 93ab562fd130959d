use twinflow_compiler::{DType, HostArray, Tensor, TensorType, Trace, concatenate, grad, stack, trace};

use crate::run;

/// `0, 1, 2, ..` in row-major order.
fn count<const N: usize>(t: &Trace, shape: [usize; N]) -> Tensor<'_> {
    let n = shape.iter().product();
    t.iota(TensorType::f32([n]), 0).reshape(shape)
}

fn indices<'t, const N: usize>(t: &'t Trace, shape: [usize; N], values: &[i32]) -> Tensor<'t> {
    t.constant(HostArray::from_slice(shape, values).unwrap())
}

fn numbers(results: &[HostArray]) -> Vec<Vec<f64>> {
    results.iter().map(HostArray::to_f64).collect()
}

#[test]
fn slices_pads_and_joins() {
    let results = run(|t| {
        let x = count(t, [2, 3]);
        let parts = x.split(-1, &[1, 0, 2]);
        vec![
            x.slice_strided(&[0, 0], &[2, 3], &[1, 2]),
            x.pad(9.0, &[(0, 0, 0), (-1, 1, 1)]),
            x.reverse(&[-1]),
            concatenate(&[parts[2], parts[0], parts[1]], 1),
            stack(&[x, x + 10.0], -1),
        ]
    });
    assert_eq!(
        numbers(&results),
        [
            vec![0.0, 2.0, 3.0, 5.0],
            vec![9.0, 1.0, 9.0, 2.0, 9.0, 9.0, 4.0, 9.0, 5.0, 9.0],
            vec![2.0, 1.0, 0.0, 5.0, 4.0, 3.0],
            vec![1.0, 2.0, 0.0, 4.0, 5.0, 3.0],
            vec![0.0, 10.0, 1.0, 11.0, 2.0, 12.0, 3.0, 13.0, 4.0, 14.0, 5.0, 15.0],
        ]
    );
    assert_eq!(results[4].ty().shape.dims(), [2, 3, 2]);
}

#[test]
fn blocks_are_moved_inside() {
    let results = run(|t| {
        let x = count(t, [5]);
        let at = |dtype, start| [t.scalar(dtype, start)];
        vec![
            x.dynamic_slice(&at(DType::I32, -3.0), &[2]),
            x.dynamic_slice(&at(DType::U32, 4_294_967_295.0), &[2]),
            x.dynamic_update_slice(count(t, [2]) + 7.0, &at(DType::I32, 4.0)),
        ]
    });
    assert_eq!(numbers(&results), [vec![0.0, 1.0], vec![3.0, 4.0], vec![0.0, 1.0, 2.0, 7.0, 8.0]]);
}

#[test]
fn indices_out_of_range_are_clamped_both_ways() {
    let results = run(|t| {
        let table = count(t, [3, 2]);
        let rows = indices(t, [2, 2], &[1, 1, -4, 8]);
        let far = t.constant(HostArray::from_slice([1], &[u32::MAX]).unwrap());
        let gradient = grad(&table, |table| table.take(rows).sum_all() + table.take(far).sum_all() * 10.0);
        let columns = indices(t, [3, 1], &[1, 0, 5]);
        let along = grad(&table, |table| (table.take_along(-1, columns) * 2.0).sum_all());
        vec![table.take(rows), table.take(far), gradient, table.take_along(1, columns), along]
    });
    assert_eq!(
        numbers(&results),
        [
            vec![2.0, 3.0, 2.0, 3.0, 0.0, 1.0, 4.0, 5.0],
            vec![4.0, 5.0],
            vec![1.0, 1.0, 2.0, 2.0, 11.0, 11.0],
            vec![1.0, 2.0, 5.0],
            vec![0.0, 2.0, 2.0, 0.0, 0.0, 2.0],
        ]
    );
    assert_eq!(results[0].ty().shape.dims(), [2, 2, 2]);
}

#[test]
fn misuse_is_reported_with_the_line() {
    let message = |f: &dyn Fn(&Trace) -> usize| trace(|t| f(t)).unwrap_err().to_string();
    let error = message(&|t| count(t, [4]).slice(&[3], &[5]).rank());
    assert!(error.starts_with("slice(f32[4]): cannot take the slice [3:5:1]"), "{error}");
    let error = message(&|t| concatenate(&[count(t, [2, 3]), count(t, [3, 2])], 0).rank());
    assert!(error.contains("different shapes, f32[2, 3] and f32[3, 2]"), "{error}");
    let error = message(&|_| stack(&[], 0).rank());
    assert!(error.starts_with("stack: 0 operands, 1 expected, at") && error.contains("indexing.rs"), "{error}");
    let error = message(&|t| count(t, [4]).take(count(t, [2])).rank());
    assert!(error.contains("indices must be i32 or u32"), "{error}");
}
