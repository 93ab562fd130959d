//! Layers against sums written out.

use ndarray::{ArrayD, Dimension};
use twinflow_array::{HostArray, ParamPath, TensorType, map};
use twinflow_nn::{Conv2d, ConvTranspose2d, GroupNorm, SignEmbedding, TargetTime, TimeSign, TwoTimes, attend_linearly};

fn pixels(shape: &[usize], seed: f64) -> HostArray {
    crate::support::noise(&TensorType::f32(shape), seed)
}

/// Constants of the program, such as a norm's eps, are f32.
fn assert_near(actual: &ArrayD<f64>, expected: impl Fn(&[usize]) -> f64) {
    for (index, value) in actual.indexed_iter() {
        let expected = expected(index.slice());
        assert!((value - expected).abs() < 1e-7, "{:?}: {value}, expected {expected}", index.slice());
    }
}

/// The pixel of `[1, h, w, c]` at a place, 0 outside.
fn pixel(x: &ArrayD<f64>, row: i64, column: i64, channel: usize) -> f64 {
    let inside = |place: i64, size: usize| (0..size as i64).contains(&place);
    let found = inside(row, x.shape()[1]) && inside(column, x.shape()[2]);
    if found { x[[0, row as usize, column as usize, channel]] } else { 0.0 }
}

#[test]
fn convolutions_keep_or_divide_the_size() {
    // (kernel, stride, pixels of the border before the picture, groups)
    for (side, stride, before, groups) in [(3, 1, 1, 1), (2, 1, 1, 1), (4, 2, 1, 1), (1, 1, 0, 1), (3, 1, 1, 2)] {
        let (inputs, outputs) = (2 / groups, 4 / groups);
        let (weight, bias) = (pixels(&[side, side, inputs, 4], 1.0), pixels(&[4], 2.0));
        let layer = Conv2d { weight, bias: Some(bias.clone()), stride, groups };
        let x = pixels(&[1, 4, 6, 2], 3.0);
        let results = crate::support::run(&(layer.clone(), x.clone()), |_, (layer, x)| vec![layer.forward(x)]);
        assert_eq!(results[0].shape(), [1, 4 / stride, 6 / stride, 4]);
        let [x, weight, bias] = [&x, &layer.weight, &bias].map(HostArray::to_f64_array);
        assert_near(&results[0], |at| {
            let first = at[3] / outputs * inputs;
            let taps = ndarray::indices((side, side, inputs)).into_iter();
            let sum: f64 = taps
                .map(|(i, j, c)| {
                    let [row, column] = [at[1] * stride + i, at[2] * stride + j].map(|place| place as i64 - before);
                    pixel(&x, row, column, first + c) * weight[[i, j, c, at[3]]]
                })
                .sum();
            sum + bias[[at[3]]]
        });
    }
}

#[test]
fn transposed_convolutions_spread_each_pixel() {
    let layer = ConvTranspose2d { weight: pixels(&[4, 4, 2, 3], 1.0), bias: pixels(&[3], 2.0), stride: 2 };
    let x = pixels(&[1, 3, 2, 2], 3.0);
    let outputs = crate::support::run(&(layer.clone(), x.clone()), |_, (layer, x)| vec![layer.forward(x)]);
    assert_eq!(outputs[0].shape(), [1, 6, 4, 3]);
    let [x, weight, bias] = [&x, &layer.weight, &layer.bias].map(HostArray::to_f64_array);
    // The pixel (h, w) reaches the outputs 2 h - 1 to 2 h + 2, by the kernel's rows from last to first.
    assert_near(&outputs[0], |at| {
        let taps = ndarray::indices((3, 2, 2)).into_iter();
        let sum: f64 = taps
            .map(|(h, w, c)| {
                let [i, j] = [(h, at[1]), (w, at[2])].map(|(from, to)| 3 - (to as i64 - (2 * from as i64 - 1)));
                let seen = (0..4).contains(&i) && (0..4).contains(&j);
                if seen { x[[0, h, w, c]] * weight[[i as usize, j as usize, c, at[3]]] } else { 0.0 }
            })
            .sum();
        sum + bias[[at[3]]]
    });
}

#[test]
fn group_norm_is_over_pixels_and_channels_of_a_group() {
    let layer = GroupNorm { scale: pixels(&[6], 1.0), shift: pixels(&[6], 2.0), groups: 2 };
    let x = pixels(&[2, 3, 2, 6], 3.0);
    let outputs = crate::support::run(&(layer.clone(), x.clone()), |_, (layer, x)| vec![layer.forward(x)]);
    let [x, scale, shift] = [&x, &layer.scale, &layer.shift].map(HostArray::to_f64_array);
    assert_near(&outputs[0], |at| {
        let first = at[3] / 3 * 3;
        let group: Vec<f64> =
            ndarray::indices((3, 2, 3)).into_iter().map(|(h, w, c)| x[[at[0], h, w, first + c]]).collect();
        let mean = group.iter().sum::<f64>() / 18.0;
        let variance = group.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 18.0;
        (x[at] - mean) / (variance + 1e-5).sqrt() * scale[[at[3]]] + shift[[at[3]]]
    });
}

#[test]
fn linear_attention_weighs_values_by_products_of_rectified_queries_and_keys() {
    let [q, k, v] = [(4, 1.0), (5, 2.0), (5, 3.0)].map(|(tokens, seed)| pixels(&[2, 2, tokens, 3], seed));
    let outputs =
        crate::support::run(&vec![q.clone(), k.clone(), v.clone()], |_, x| vec![attend_linearly(x[0], x[1], x[2])]);
    let [q, k, v] = [&q, &k, &v].map(HostArray::to_f64_array);
    assert_near(&outputs[0], |at| {
        let (b, h) = (at[0], at[1]);
        let weight =
            |s: usize| -> f64 { (0..3).map(|i| q[[b, h, at[2], i]].max(0.0) * k[[b, h, s, i]].max(0.0)).sum() };
        let sum = |f: &dyn Fn(usize) -> f64| (0..5).map(|s| weight(s) * f(s)).sum::<f64>();
        sum(&|s| v[[b, h, s, at[3]]]) / (sum(&|_| 1.0) + 1e-15)
    });
}

/// What two times are embedded as.
fn embedded(join: TargetTime, t: [f32; 2], r: [f32; 2]) -> ArrayD<f64> {
    let spec = map(&TwoTimes::new(4, join, &ParamPath::root()), |_, init| init.ty());
    let times = [t, r].map(|times| HostArray::from_slice([2], &times).unwrap());
    let inputs = (crate::support::noise(&spec, 1.0), times.to_vec());
    crate::support::run(&inputs, |_, (layer, times)| vec![layer.forward(times[0], times[1])]).remove(0)
}

#[test]
fn without_an_embedding_of_its_own_the_target_time_enters_by_half_or_not_at_all() {
    let (t, r) = ([0.75, -0.5], [0.25, -0.5]);
    let alone = |t| embedded(TargetTime::Ignored, t, [9.0; 2]);
    assert_eq!(embedded(TargetTime::Half, t, r), alone([0.625, -0.25]));
    assert_ne!(embedded(TargetTime::Half, t, r), alone(t));
    assert_eq!(embedded(TargetTime::Difference, t, t), alone(t));
    assert_ne!(embedded(TargetTime::Difference, t, r), alone(t));
}

#[test]
fn a_sign_has_a_row_and_the_embedders_see_no_more_of_it() {
    let (table, t) = (pixels(&[2, 3], 1.0), HostArray::from_slice([3], &[0.5f32, -0.5, 0.0]).unwrap());
    let outputs = crate::support::run(&(SignEmbedding { table: table.clone() }, t), |_, (layer, t)| {
        vec![layer.forward(t), TimeSign::Embedding.seen(t), TimeSign::Signed.seen(t)]
    });
    let table = table.to_f64_array();
    assert_near(&outputs[0], |at| table[[[0, 1, 0][at[0]], at[1]]]);
    assert_eq!(outputs[1].as_slice().unwrap(), [0.5, 0.5, 0.0]);
    assert_eq!(outputs[2].as_slice().unwrap(), [0.5, -0.5, 0.0]);
}
