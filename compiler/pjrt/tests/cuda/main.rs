//! The wrapper on the CUDA plugin, without a GPU: run with `--run-ignored only` where that plugin is installed.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use twinflow_array::TensorType;
use twinflow_pjrt::{Client, ClientOptions, CompileOptions, OptionValue, PjrtError, Platform, Plugin, Topology};

/// The properties of an NVIDIA H200 as the plugin's option `target_config` takes them.
const H200: &str = r#"
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152 shared_memory_per_core: 233472
  threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: 4800000000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98 device_memory_size: 151397597184
  shared_memory_per_block_optin: 232448 cuda_compute_capability { major: 9 minor: 0 }
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 patch: 0 }
device_description_str: "NVIDIA H200"
"#;

const DOUBLE_IN_PLACE: &str = "
func.func @main(%x: tensor<1024xf32> {tf.aliasing_output = 0 : i32}) -> tensor<1024xf32> {
  %y = stablehlo.add %x, %x : tensor<1024xf32>
  return %y : tensor<1024xf32>
}";

fn plugin() -> Plugin {
    Plugin::discover(Platform::Cuda, None).unwrap_or_else(|error| panic!("{error}"))
}

fn h200s(count: usize) -> Topology {
    let topology = OptionValue::String(format!("1x1x{count}"));
    Topology::create(&plugin(), &[("target_config".into(), H200.into()), ("topology".into(), topology)]).unwrap()
}

/// A CUDA folder whose assembler makes nothing: enough for a memory plan, which does not depend on machine code.
fn cuda_without_assembler(folder: &Path) -> CompileOptions {
    let ptxas = folder.join("bin/ptxas");
    fs::create_dir_all(ptxas.parent().unwrap()).unwrap();
    fs::write(
        &ptxas,
        "#!/bin/sh\nfor a; do [ \"$p\" = -o ] && : > \"$a\"; p=$a; done\necho 'ptxas: release 12.9, V12.9.86'\n",
    )
    .unwrap();
    fs::set_permissions(&ptxas, fs::Permissions::from_mode(0o755)).unwrap();
    CompileOptions::default().with_override("xla_gpu_cuda_data_dir", folder.to_str().unwrap())
}

#[test]
#[ignore = "needs the CUDA plugin"]
fn a_memory_plan_without_a_gpu() {
    let folder = tempfile::tempdir().unwrap();
    let topology = h200s(8);
    assert_eq!(topology.device_count(), 8);
    let program = topology.compile(DOUBLE_IN_PLACE, &cuda_without_assembler(folder.path())).unwrap();
    assert_eq!(program.outputs(), [TensorType::f32([1024])]);
    let memory = program.memory().unwrap();
    assert_eq!((memory.argument, memory.output, memory.alias), (4096, 4096, 4096));
}

#[test]
#[ignore = "needs the CUDA plugin"]
fn more_partitions_than_devices_are_refused() {
    let options = CompileOptions { partitions: 4, use_spmd: true, use_shardy: true, ..CompileOptions::default() };
    let error = h200s(2).compile(DOUBLE_IN_PLACE, &options).unwrap_err();
    assert!(matches!(error, PjrtError::TopologySize { partitions: 4, devices: 2, .. }), "{error}");
}

#[test]
#[ignore = "needs the CUDA plugin"]
fn a_cuda_plugin_taken_for_the_cpu_is_an_error_that_names_both() {
    let as_cpu = Plugin::discover(Platform::Cpu, Some(plugin().path())).unwrap();
    let error = Client::new(&as_cpu, &ClientOptions::default()).unwrap_err();
    assert!(matches!(error, PjrtError::Connect { platform: Platform::Cpu, .. }), "{error}");
    assert!(error.to_string().contains("is it a plugin for cpu"), "{error}");
}
