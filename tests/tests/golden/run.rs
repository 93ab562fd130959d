//! Running traced functions on XLA.

use twinflow_array::{HostArray, Tree, leaves, map};
use twinflow_compiler::{Tensor, Trace, trace};
use twinflow_pjrt::{Arg, Buffer, Executable};
use twinflow_tests::xla;

/// A function compiled for inputs of certain types.
pub struct Compiled(Executable);

impl Compiled {
    /// Compiles `f` for inputs like these, which are not read. `f` gets the trace as well: it names the lifetime of the
    /// tensors.
    pub fn new<T: Tree<Leaf = HostArray>>(
        inputs: &T,
        f: impl for<'t> FnOnce(&'t Trace, T::Rebind<Tensor<'t>>) -> Vec<Tensor<'t>>,
    ) -> Self {
        let traced = trace(|trace| {
            let inputs = map(inputs, |place, array| trace.input(place.path(), array.ty().clone()));
            trace.outputs("", &f(trace, inputs));
        });
        let (program, ()) = traced.unwrap_or_else(|error| panic!("{error}"));
        let executable = xla::client().compile(&xla::stablehlo(&program), &xla::quick());
        Compiled(executable.unwrap_or_else(|error| panic!("{error}")))
    }

    /// The outputs.
    pub fn run<T: Tree<Leaf = HostArray>>(&self, inputs: &T) -> Vec<HostArray> {
        let device = &xla::client().devices()[0];
        let buffers: Vec<Buffer> =
            leaves(inputs).into_iter().map(|array| Buffer::from_host(device, array).unwrap()).collect();
        let outputs = self.0.execute(vec![buffers.iter().map(Arg::Keep).collect()]).unwrap().remove(0);
        outputs.iter().map(|output| output.to_host().unwrap()).collect()
    }
}
