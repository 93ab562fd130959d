//! Running traced functions by the reference interpreter: in f64, without a plugin.

use ndarray::ArrayD;
use twinflow_array::{HostArray, TensorType, Tree, leaves, map, unflatten};
use twinflow_compiler::{Tensor, Trace, interpreter::interpret, trace};

/// The outputs of `f` for these inputs. `f` gets the trace as well: it names the lifetime of the tensors.
#[allow(dead_code, reason = "not every test file needs it")]
pub fn run<T: Tree<Leaf = HostArray>>(
    inputs: &T,
    f: impl for<'t> FnOnce(&'t Trace, T::Rebind<Tensor<'t>>) -> Vec<Tensor<'t>>,
) -> Vec<ArrayD<f64>> {
    let values: Vec<_> = leaves(inputs).into_iter().map(HostArray::to_f64_array).collect();
    run_unrounded(inputs, &values, f)
}

/// The same for inputs of the types of `like` with these values, which need not be f32.
pub fn run_unrounded<T: Tree<Leaf = HostArray>>(
    like: &T,
    values: &[ArrayD<f64>],
    f: impl for<'t> FnOnce(&'t Trace, T::Rebind<Tensor<'t>>) -> Vec<Tensor<'t>>,
) -> Vec<ArrayD<f64>> {
    let (program, _) = trace(|trace| {
        let inputs = map(like, |place, array| trace.input(place.path(), array.ty().clone()));
        trace.outputs("", &f(trace, inputs))
    })
    .unwrap_or_else(|error| panic!("{error}"));
    interpret(&program, values)
}

/// Host arrays of the types of `spec` from values in order.
#[allow(dead_code, reason = "not every test file needs it")]
pub fn arrays<T: Tree<Leaf = TensorType>>(spec: &T, values: &[ArrayD<f64>]) -> T::Rebind<HostArray> {
    let types = leaves(spec);
    let array = |(ty, values): (&&TensorType, &ArrayD<f64>)| {
        HostArray::from_f64((*ty).clone(), &values.iter().copied().collect::<Vec<_>>()).unwrap()
    };
    unflatten(spec, types.iter().zip(values).map(array).collect::<Vec<_>>())
}

/// Numbers without pattern in [-1, 1], of these types.
#[allow(dead_code, reason = "not every test file needs it")]
pub fn noise<T: Tree<Leaf = TensorType>>(spec: &T, seed: f64) -> T::Rebind<HostArray> {
    let mut count = 0.0;
    map(spec, |_, ty| {
        let values: Vec<f64> = (0..ty.shape.elements())
            .map(|_| {
                count += 1.0;
                ((count * 12.9898 + seed * 78.233f64).sin() * 43_758.547).fract()
            })
            .collect();
        HostArray::from_f64(ty.clone(), &values).unwrap()
    })
}
