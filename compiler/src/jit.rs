//! Typed programs: trees of types in, an executable on trees of buffers out.

use twinflow_array::{HostArray, ParamPath, TensorType, Tree, leaves, map, paths, unflatten};
use twinflow_pjrt::{Arg, Buffer, Client, CompileOptions, Device, Executable, PjrtError};

use crate::{
    cache::Cache,
    error::TraceError,
    passes::simplify,
    program::Program,
    stablehlo::{self, Products},
    trace::{Tensor, Trace, trace},
};

/// A traced function with the types of its donated inputs `D`, kept inputs `K` and outputs `O`.
#[derive(Clone, Debug)]
pub struct Traced<D, K, O> {
    name: String,
    program: Program,
    donated: D,
    kept: K,
    outputs: O,
}

/// A traced function compiled for a client's devices.
pub struct Jit<D, K, O> {
    traced: Traced<D, K, O>,
    executable: Executable,
}

/// Why a compiled function could not run.
#[allow(missing_docs, reason = "fields are facts of the message above them")]
#[derive(Debug, thiserror::Error)]
pub enum JitError {
    /// An argument is not of the type that the function was traced for.
    #[error("{function}: argument '{path}' is {found}, but the program takes {expected}")]
    Argument {
        function: String,
        path: ParamPath,
        /// The type the function was traced for.
        expected: TensorType,
        found: TensorType,
    },
    /// The plugin failed.
    #[error("{function}: {source}")]
    Pjrt {
        function: String,
        #[source]
        source: PjrtError,
    },
}

/// Traces `f` on tensors of these types. The first tree's buffers will be donated: moved in, their memory reused.
///
/// # Errors
/// The first operation whose operands do not fit.
pub fn jit<D, K, O>(
    name: &str,
    donated: D,
    kept: K,
    f: impl for<'t> FnOnce(&'t Trace, D::Rebind<Tensor<'t>>, K::Rebind<Tensor<'t>>) -> O::Rebind<Tensor<'t>>,
) -> Result<Traced<D, K, O>, TraceError>
where
    D: Tree<Leaf = TensorType>,
    K: Tree<Leaf = TensorType>,
    O: Tree<Leaf = TensorType>,
{
    let (program, outputs) = trace(|t| {
        let donated = t.inputs("", &donated);
        t.donate_inputs();
        let kept = t.inputs("", &kept);
        let outputs = f(t, donated, kept);
        t.outputs("", &outputs)
    })?;
    Ok(Traced { name: name.to_owned(), program: simplify(program), donated, kept, outputs })
}

impl<D, K, O> Traced<D, K, O>
where
    D: Tree<Leaf = TensorType>,
    K: Tree<Leaf = TensorType>,
    O: Tree<Leaf = TensorType>,
{
    /// The simplified program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The types of the outputs.
    pub fn outputs(&self) -> &O {
        &self.outputs
    }

    /// The StableHLO module with locations.
    pub fn stablehlo(&self, products: Products) -> String {
        stablehlo::lower(&self.program, &self.name, products, true)
    }

    /// Compiles for the client's devices.
    ///
    /// # Errors
    /// The plugin's, if it rejects the program or an option.
    pub fn compile(self, client: &Client, options: &CompileOptions) -> Result<Jit<D, K, O>, JitError> {
        self.compile_cached(client, options, &Cache::off())
    }

    /// As [`Traced::compile`], but loaded from the cache if it is there.
    ///
    /// # Errors
    /// As [`Traced::compile`]; the cache has none.
    pub fn compile_cached(
        self,
        client: &Client,
        options: &CompileOptions,
        cache: &Cache,
    ) -> Result<Jit<D, K, O>, JitError> {
        let source = |source| JitError::Pjrt { function: self.name.clone(), source };
        let executable = cache.compile(client, &self.stablehlo(Products::of(client)), options).map_err(source)?;
        Ok(Jit { traced: self, executable })
    }
}

impl<D, K, O> Jit<D, K, O>
where
    D: Tree<Leaf = TensorType>,
    K: Tree<Leaf = TensorType>,
    O: Tree<Leaf = TensorType>,
{
    /// The compiled program, for its memory plan and serialization.
    pub fn executable(&self) -> &Executable {
        &self.executable
    }

    /// The traced function.
    pub fn traced(&self) -> &Traced<D, K, O> {
        &self.traced
    }

    /// Runs on one device. The donated buffers are gone afterwards; kept ones are lent: `(by_ref(&params), &labels)`.
    ///
    /// # Errors
    /// [`JitError::Argument`] if a buffer has another type than the function was traced for; the plugin's errors.
    pub fn call(&self, donated: D::Rebind<Buffer>, kept: K::Rebind<&Buffer>) -> Result<O::Rebind<Buffer>, JitError> {
        Ok(self.call_replicas(vec![donated], vec![kept])?.swap_remove(0))
    }

    /// Runs on as many devices as the function was compiled for replicas, with each device's arguments.
    ///
    /// # Errors
    /// As [`Jit::call`].
    pub fn call_replicas(
        &self,
        donated: Vec<D::Rebind<Buffer>>,
        kept: Vec<K::Rebind<&Buffer>>,
    ) -> Result<Vec<O::Rebind<Buffer>>, JitError> {
        let arguments = donated.into_iter().zip(kept).map(|(donated, kept)| self.arguments(donated, kept));
        let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
        let results = self.executable.execute(arguments).map_err(|source| self.failed(source))?;
        Ok(results.into_iter().map(|buffers| unflatten(&self.traced.outputs, buffers)).collect())
    }

    fn arguments<'a>(&self, donated: D::Rebind<Buffer>, kept: K::Rebind<&'a Buffer>) -> Result<Vec<Arg<'a>>, JitError> {
        let (mut moved, mut lent) = (Vec::new(), Vec::new());
        kept.into_leaves(&mut lent);
        self.check(&self.traced.donated, &leaves(&donated))?;
        self.check(&self.traced.kept, &lent)?;
        donated.into_leaves(&mut moved);
        Ok(moved.into_iter().map(Arg::Donate).chain(lent.into_iter().map(Arg::Keep)).collect())
    }

    fn check<T: Tree<Leaf = TensorType>>(&self, types: &T, buffers: &[&Buffer]) -> Result<(), JitError> {
        let differs = |(_, (expected, buffer)): &(usize, (&&TensorType, &&Buffer))| buffer.ty() != **expected;
        match leaves(types).iter().zip(buffers).enumerate().find(differs) {
            None => Ok(()),
            Some((index, (expected, buffer))) => Err(JitError::Argument {
                function: self.traced.name.clone(),
                path: paths(types).swap_remove(index),
                expected: (*expected).clone(),
                found: buffer.ty().clone(),
            }),
        }
    }

    fn failed(&self, source: PjrtError) -> JitError {
        JitError::Pjrt { function: self.traced.name.clone(), source }
    }
}

/// Copies a tree of arrays to a device.
///
/// # Errors
/// The plugin's, as when memory runs out.
pub fn to_device<T: Tree<Leaf = HostArray>>(tree: &T, device: &Device) -> Result<T::Rebind<Buffer>, PjrtError> {
    let buffers = leaves(tree).into_iter().map(|array| Buffer::from_host(device, array));
    Ok(unflatten(tree, buffers.collect::<Result<Vec<_>, _>>()?))
}

/// Copies a tree of buffers to the host, all at once.
///
/// # Errors
/// The plugin's, and the errors of the computations that make the buffers.
pub fn to_host<T: Tree<Leaf = Buffer>>(tree: &T) -> Result<T::Rebind<HostArray>, PjrtError> {
    let pending = leaves(tree).into_iter().map(Buffer::copy_to_host_async).collect::<Result<Vec<_>, _>>()?;
    let arrays = pending.into_iter().map(|pending| pending.wait()).collect::<Result<Vec<_>, _>>()?;
    Ok(unflatten(tree, arrays))
}

/// The types of a tree of arrays.
pub fn types_of<T: Tree<Leaf = HostArray>>(tree: &T) -> T::Rebind<TensorType> {
    map(tree, |_, array| array.ty().clone())
}
