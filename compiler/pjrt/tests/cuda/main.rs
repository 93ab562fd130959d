//! The wrapper on the CUDA plugin, without a GPU: `make cuda-compiler` installs what it needs.

use twinflow_array::TensorType;
use twinflow_pjrt::{
    Client, ClientOptions, CompileOptions, CudaToolkit, GpuTarget, PjrtError, Platform, Plugin, Topology,
};

const DOUBLE_IN_PLACE: &str = "
func.func @main(%x: tensor<1024xf32> {tf.aliasing_output = 0 : i32}) -> tensor<1024xf32> {
  %y = stablehlo.add %x, %x : tensor<1024xf32>
  return %y : tensor<1024xf32>
}";

fn plugin() -> Plugin {
    Plugin::discover(Platform::Cuda, None).unwrap_or_else(|error| panic!("{error}"))
}

fn h200s(count: usize) -> Topology {
    GpuTarget::find("h200").unwrap().topology(&plugin(), count).unwrap()
}

fn options() -> CompileOptions {
    let toolkit = CudaToolkit::discover().unwrap_or_else(|error| panic!("{error}"));
    toolkit.compile_options(CompileOptions::default())
}

#[test]
fn every_known_kind_of_gpu_is_compiled_for() {
    for name in GpuTarget::known() {
        let topology = GpuTarget::find(name).unwrap().topology(&plugin(), 8).unwrap();
        assert_eq!(topology.device_count(), 8);
        let program = topology.compile(DOUBLE_IN_PLACE, &options()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(program.outputs(), [TensorType::f32([1024])]);
        let memory = program.memory().unwrap();
        assert_eq!((memory.argument, memory.output, memory.alias), (4096, 4096, 4096), "{name}");
    }
}

#[test]
fn more_partitions_than_devices_are_refused() {
    let options = CompileOptions { partitions: 4, use_spmd: true, use_shardy: true, ..CompileOptions::default() };
    let error = h200s(2).compile(DOUBLE_IN_PLACE, &options).unwrap_err();
    assert!(matches!(error, PjrtError::TopologySize { partitions: 4, devices: 2, .. }), "{error}");
}

#[test]
fn a_cuda_plugin_taken_for_the_cpu_is_an_error_that_names_both() {
    let as_cpu = Plugin::discover(Platform::Cpu, Some(plugin().path())).unwrap();
    let error = Client::new(&as_cpu, &ClientOptions::default()).unwrap_err();
    assert!(matches!(error, PjrtError::Connect { platform: Platform::Cpu, .. }), "{error}");
    assert!(error.to_string().contains("is it a plugin for cpu"), "{error}");
}
