//! Indexing and random numbers on XLA's CPU plugin, which must be installed: without it every test fails and says so.

mod indexing;
mod random;

use std::sync::LazyLock;

use twinflow_compiler::{
    HostArray, Program, Tensor, Trace,
    passes::simplify,
    stablehlo::{Products, lower},
    trace,
};
use twinflow_pjrt::{Client, ClientOptions, CompileOptions, Platform, Plugin};

static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    let plugin = Plugin::discover(Platform::Cpu, None).unwrap_or_else(|error| panic!("{error}"));
    Client::new(&plugin, &ClientOptions::default()).unwrap()
});

fn traced(f: impl for<'t> FnOnce(&'t Trace) -> Vec<Tensor<'t>>) -> Program {
    let (program, _) = trace(|t| t.outputs("", &f(t))).unwrap_or_else(|error| panic!("{error}"));
    simplify(program)
}

/// What a function without parameters gives.
fn run(f: impl for<'t> FnOnce(&'t Trace) -> Vec<Tensor<'t>>) -> Vec<HostArray> {
    let executable =
        CLIENT.compile(&lower(&traced(f), "main", Products::default(), false), &CompileOptions::default()).unwrap();
    let outputs = executable.execute(vec![vec![]]).unwrap().remove(0);
    outputs.iter().map(|output| output.to_host().unwrap()).collect()
}
