//! Running traced functions on host arrays.

use twinflow_array::{HostArray, ParamPath, TensorType, Tree, leaves};
use twinflow_compiler::{Tensor, interpreter::interpret, trace};

/// The outputs of `f` for these inputs.
pub fn run<T: Tree<Leaf = HostArray>>(
    inputs: &T,
    f: impl for<'t> FnOnce(T::Rebind<Tensor<'t>>) -> Vec<Tensor<'t>>,
) -> Vec<HostArray> {
    let (program, outputs) = trace(|trace| {
        let root = ParamPath::root();
        let inputs = inputs.map_leaves(&root, &mut |path, array| trace.input(&path, array.ty().clone()));
        trace.outputs("", &f(inputs))
    })
    .unwrap_or_else(|error| panic!("{error}"));
    let values: Vec<_> = leaves(inputs).into_iter().map(HostArray::to_f64_array).collect();
    let results = interpret(&program, &values);
    let array = |(ty, value): (&TensorType, ndarray::ArrayD<f64>)| {
        HostArray::from_f64(ty.clone(), &value.iter().copied().collect::<Vec<_>>()).unwrap()
    };
    outputs.iter().zip(results).map(array).collect()
}
