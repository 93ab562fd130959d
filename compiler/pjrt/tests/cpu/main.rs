//! The wrapper on the CPU plugin, which must be installed (`make plugin`): without it every test fails and says so.

mod buffers;
mod compilation;
mod execution;
mod foreign_plugins;

use twinflow_array::{Element, HostArray};
use twinflow_pjrt::{Client, ClientOptions, CompileOptions, Executable, Platform, Plugin};

fn plugin() -> Plugin {
    Plugin::discover(Platform::Cpu, None).unwrap_or_else(|error| panic!("{error}"))
}

fn client(devices: usize) -> Client {
    let options = ClientOptions { cpu_device_count: Some(devices), ..ClientOptions::default() };
    Client::new(&plugin(), &options).unwrap()
}

fn compile(client: &Client, stablehlo: &str) -> Executable {
    let quick = CompileOptions::default().with_override("xla_backend_optimization_level", 0i64);
    client.compile(stablehlo, &quick).unwrap()
}

fn array<T: Element>(elements: &[T]) -> HostArray {
    HostArray::from_slice([elements.len()], elements).unwrap()
}

/// `y = x + x` on f32[4]; the argument's memory may become the result's.
const DOUBLE_IN_PLACE: &str = "
func.func @main(%x: tensor<4xf32> {tf.aliasing_output = 0 : i32}) -> tensor<4xf32> {
  %y = stablehlo.add %x, %x : tensor<4xf32>
  return %y : tensor<4xf32>
}";
