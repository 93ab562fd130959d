//! Our values of a case against the library's.

use std::{fs, path::Path};

use twinflow_array::{DType, HostArray, Place, Tree, leaves, map};
use twinflow_checkpoints::import_safetensors;
use twinflow_compiler::{Tensor, trace, value_and_grad};
use twinflow_nn::Params;
use twinflow_tests::xla;

use super::{
    Inputs, Kind, Network,
    case::{self, Arrays, Case},
};

/// Gradients this small beside the case's largest are zero but for rounding: softmax is blind to a bias of its keys.
const ROUNDING: f64 = 1e-6;

/// Checks every case of a folder.
///
/// # Panics
/// With every value that is too far.
pub fn folder(kind: &Kind, folder: &Path) {
    let config = serde_json::from_str(&fs::read_to_string(folder.join("config.json")).unwrap()).unwrap();
    let mut far = Vec::new();
    for case in case::read(&folder.join("io.h5")) {
        let network = (kind.network)(&config, &case);
        let spec = network.parameters().spec();
        let params = import_safetensors(&folder.join("model.safetensors"), &spec)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let ours = Values::of(network.as_ref(), &params, &case);
        far.extend(ours.too_far(kind, &case).into_iter().map(|line| format!("{}{} {line}", kind.name, case.name)));
    }
    assert!(far.is_empty(), "too far from the library:\n{}", far.join("\n"));
}

/// What we compute for a case.
struct Values {
    out: HostArray,
    inputs: Arrays,
    /// By the library's names, in its layouts.
    parameters: Arrays,
}

impl Values {
    fn of(network: &dyn Network, params: &Params<HostArray>, case: &Case) -> Values {
        let (names, floats): (Vec<_>, Vec<_>) = case.inputs.iter().filter(|(_, array)| is_float(array)).unzip();
        let floats: Vec<HostArray> = floats.into_iter().cloned().collect();
        let arguments = (params.clone(), floats);
        let (program, ()) = trace(|trace| {
            let arguments = map(&arguments, |place, array| trace.input(place.path(), array.ty().clone()));
            let constant = |(name, array): (&String, &HostArray)| (name.clone(), trace.constant(array.clone()));
            let integers: Inputs<'_> = case.inputs.iter().filter(|(_, array)| !is_float(array)).map(constant).collect();
            let ((_, out), gradients) = value_and_grad(&arguments, |(params, floats): (Params<Tensor<'_>>, Vec<_>)| {
                let floats = names.iter().map(|name| (*name).clone()).zip(floats);
                let out = network.out(&params, &integers.clone().into_iter().chain(floats).collect());
                ((out * trace.constant(case.probe.clone())).sum_all(), out)
            });
            trace.outputs("out", &out);
            trace.outputs("gradients", &gradients);
        })
        .unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let inputs: Vec<HostArray> = leaves(&arguments).into_iter().cloned().collect();
        let mut results = xla::run(&program, &inputs).into_iter();
        let out = results.next().unwrap();
        let gradients = params.with_leaves(results.by_ref().take(params.leaves().len()).collect::<Vec<_>>());
        Values { out, inputs: names.into_iter().cloned().zip(results).collect(), parameters: external(&gradients) }
    }

    fn too_far(&self, kind: &Kind, case: &Case) -> Vec<String> {
        let largest = case.parameter_gradients.values().map(norm).fold(0.0, f64::max);
        let distance = |actual: Option<&HostArray>, expected: &HostArray| {
            let length = norm(expected);
            let length = if length > 0.0 && length < ROUNDING * largest { largest } else { length };
            actual.map_or(f64::INFINITY, |actual| distance(actual, expected, length))
        };
        let mut found = vec![("out".to_owned(), distance(Some(&self.out), &case.out), kind.out)];
        for (name, expected) in &case.input_gradients {
            let time = matches!(name.as_str(), "timestep" | "target");
            let limit = if time { kind.time_gradients } else { kind.gradients };
            let actual = self.inputs.get(name);
            found.push((format!("gradient in {name}"), distance(actual, expected), limit));
            let misses = actual.map_or(f64::INFINITY, |actual| missed_zeros(actual, expected));
            found.push((format!("largest of what is zero in the gradient in {name}"), misses, 0.0));
        }
        let of_parameters = case.parameter_gradients.iter();
        found.extend(of_parameters.map(|(name, expected)| {
            (format!("gradient in {name}"), distance(self.parameters.get(name), expected), kind.gradients)
        }));
        print_largest(kind, case, &found);
        let far = found.iter().filter(|(_, distance, limit)| distance.is_nan() || distance > limit);
        far.map(|(name, distance, limit)| format!("{name}: {distance:.1e}, at most {limit:.0e}")).collect()
    }
}

/// How near the case is: of each limit the largest distance.
fn print_largest(kind: &Kind, case: &Case, found: &[(String, f64, f64)]) {
    let largest = |of: &dyn Fn(&str) -> bool| {
        found.iter().filter(|(name, ..)| of(name)).map(|(_, distance, _)| *distance).fold(0.0, f64::max)
    };
    let is_time = |name: &str| name.ends_with(" timestep") || name.ends_with(" target");
    let [out, times] = [largest(&|name| name == "out"), largest(&is_time)];
    let others = largest(&|name| name != "out" && !is_time(name));
    println!("{}{}: out {out:.1e}, gradients {others:.1e}, in times {times:.1e}", kind.name, case.name);
}

fn is_float(array: &HostArray) -> bool {
    array.dtype() == DType::F32
}

fn external(params: &Params<HostArray>) -> Arrays {
    let mut arrays = Arrays::new();
    params.visit(&Place::root(), &mut |place, array| arrays.extend(place.to_external(array).unwrap()));
    arrays
}

/// L2 distance over `length`; over 1 for a length of zero.
fn distance(actual: &HostArray, expected: &HostArray, length: f64) -> f64 {
    assert_eq!(actual.shape(), expected.shape());
    let difference = actual.to_f64().iter().zip(&expected.to_f64()).map(|(a, e)| (a - e).powi(2)).sum::<f64>().sqrt();
    if length == 0.0 { difference } else { difference / length }
}

/// The largest of what is exactly zero in the library: what an input does not reach, and what a sign of zero stops.
fn missed_zeros(actual: &HostArray, expected: &HostArray) -> f64 {
    let pairs = actual.to_f64().into_iter().zip(expected.to_f64());
    pairs.filter(|(_, expected)| *expected == 0.0).map(|(actual, _)| actual.abs()).fold(0.0, f64::max)
}

fn norm(array: &HostArray) -> f64 {
    array.to_f64().iter().map(|x| x * x).sum::<f64>().sqrt()
}
