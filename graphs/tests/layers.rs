//! Layers against sums written out.

mod support;

use ndarray::{ArrayD, Dimension};
use twinflow_array::{HostArray, TensorType};
use twinflow_graphs::nn::{Conv2d, ConvTranspose2d, GroupNorm};

fn pixels(shape: &[usize], seed: f64) -> HostArray {
    support::noise(&TensorType::f32(shape), seed)
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
    // (kernel, stride, pixels of the border before the picture)
    for (side, stride, before) in [(3, 1, 1), (2, 1, 1), (4, 2, 1), (1, 1, 0)] {
        let layer = Conv2d { weight: pixels(&[side, side, 2, 3], 1.0), bias: pixels(&[3], 2.0), stride };
        let x = pixels(&[1, 4, 6, 2], 3.0);
        let outputs = support::run(&(layer.clone(), x.clone()), |_, (layer, x)| vec![layer.forward(x)]);
        assert_eq!(outputs[0].shape(), [1, 4 / stride, 6 / stride, 3]);
        let [x, weight, bias] = [&x, &layer.weight, &layer.bias].map(HostArray::to_f64_array);
        assert_near(&outputs[0], |at| {
            let taps = ndarray::indices((side, side, 2)).into_iter();
            let sum: f64 = taps
                .map(|(i, j, c)| {
                    let [row, column] = [at[1] * stride + i, at[2] * stride + j].map(|place| place as i64 - before);
                    pixel(&x, row, column, c) * weight[[i, j, c, at[3]]]
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
    let outputs = support::run(&(layer.clone(), x.clone()), |_, (layer, x)| vec![layer.forward(x)]);
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
    let outputs = support::run(&(layer.clone(), x.clone()), |_, (layer, x)| vec![layer.forward(x)]);
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
