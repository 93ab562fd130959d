use twinflow_compiler::{DType, HostArray, Key, Tensor, TensorType, Trace};

use crate::run;

fn words(t: &Trace, values: impl IntoIterator<Item = u32>) -> Tensor<'_> {
    let values: Vec<u32> = values.into_iter().collect();
    t.constant(HostArray::from_slice([values.len()], &values).unwrap())
}

fn mean_of(values: &[f64], f: impl Fn(f64) -> f64) -> f64 {
    values.iter().map(|&value| f(value)).sum::<f64>() / values.len() as f64
}

/// Random123's known answers, through the compiler: row and column pair are the counter's words.
#[test]
fn bits_are_threefrys() {
    let results = run(|t| {
        let key = Key::from_tensor(words(t, [0x1319_8a2e, 0x0370_7344]));
        vec![Key::seed(t, 0).bits_at(words(t, [0]), 3), Key::seed(t, u64::MAX).to_tensor(), key.to_tensor()]
    });
    assert_eq!(results[0].as_slice::<u32>().unwrap()[..2], [0x6b20_0159, 0x99ba_4efe]);
    assert_eq!(results[1].as_slice::<u32>().unwrap(), [u32::MAX; 2]);
    assert_eq!(results[2].as_slice::<u32>().unwrap(), [0x1319_8a2e, 0x0370_7344]);
}

#[test]
fn numbers_depend_on_key_row_and_column_only() {
    let results = run(|t| {
        let key = Key::seed(t, 7);
        let table = key.normal_at(t.iota(TensorType::new(DType::U32, [6]), 0), 5);
        vec![table.slice(&[3, 0], &[5, 3]), key.normal_at(words(t, [3, 4]), 3), table.slice(&[0, 0], &[1, 5])]
            .into_iter()
            .chain([key.normal([1, 5])])
            .collect()
    });
    assert_eq!(results[0], results[1]);
    assert_eq!(results[2], results[3]);
}

#[test]
fn uniform_numbers_fill_the_unit_interval_evenly() {
    let (rows, columns) = (300, 201);
    let bits = run(|t| vec![Key::seed(t, 1).uniform_at(words(t, 0..rows), columns)]).remove(0);
    let values = bits.to_f64();
    assert!(values.iter().all(|value| (0.0..1.0).contains(value)));
    // 60300 values: standard errors 0.0012 of the mean, 0.0003 of the variance, 75 of a bin's count.
    assert!((mean_of(&values, |x| x) - 0.5).abs() < 0.005);
    assert!((mean_of(&values, |x| (x - 0.5).powi(2)) - 1.0 / 12.0).abs() < 0.0013);
    for bin in 0..10 {
        let count = values.iter().filter(|&&value| (value * 10.0) as usize == bin).count();
        assert!(count.abs_diff(6030) < 300, "bin {bin} holds {count} values");
    }
    let table: Vec<&[f64]> = values.chunks(columns).collect();
    assert!((1..table.len()).all(|i| !table[..i].contains(&table[i])), "no two rows are equal");
}

#[test]
fn normal_numbers_have_the_normal_moments() {
    let values = run(|t| vec![Key::seed(t, 2).normal([100, 501])]).remove(0).to_f64();
    // Standard errors: 0.0045, 0.0063, 0.017, 0.044; neighbours share a radius and must be uncorrelated all the same.
    assert!(mean_of(&values, |x| x).abs() < 0.02);
    assert!((mean_of(&values, |x| x * x) - 1.0).abs() < 0.03);
    assert!(mean_of(&values, |x| x.powi(3)).abs() < 0.08);
    assert!((mean_of(&values, |x| x.powi(4)) - 3.0).abs() < 0.2);
    let products: Vec<f64> = values.chunks_exact(2).map(|pair| pair[0] * pair[1]).collect();
    assert!(mean_of(&products, |x| x).abs() < 0.03);
    assert!(values.iter().all(|value| value.is_finite() && value.abs() < 6.7));
}

#[test]
fn derived_keys_all_differ() {
    let results = run(|t| {
        let key = Key::seed(t, 3);
        let step = t.scalar(DType::U32, 1.0);
        let mut keys = vec![key, key.fold_in(0), key.fold_in(1), key.fold_in_name("time"), key.fold_in_name("noise")];
        keys.extend(key.split(3));
        keys.extend([key.fold_in(step)]);
        keys.into_iter().map(Key::to_tensor).collect()
    });
    let (last, keys) = results.split_last().unwrap();
    assert!((1..keys.len()).all(|i| !keys[..i].contains(&keys[i])));
    assert_eq!(last, &keys[2], "a word folds in equally as a constant and as a tensor");
}
