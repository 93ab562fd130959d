//! Compiling, and what compiled programs say of themselves.

use twinflow_array::{DType, TensorType};
use twinflow_pjrt::{Arg, Buffer, CompileOptions, ErrorCode, PjrtError, Topology};

use crate::{DOUBLE_IN_PLACE, array, client, compile, plugin};

const MATMUL: &str = "
module @product {
  func.func @main(%x: tensor<32x64xf32>, %w: tensor<64x16xf32>) -> (tensor<32x16xf32>, tensor<i1>) {
    %y = stablehlo.dot_general %x, %w, contracting_dims = [1] x [0]
      : (tensor<32x64xf32>, tensor<64x16xf32>) -> tensor<32x16xf32>
    %z = stablehlo.tanh %y : tensor<32x16xf32>
    %true = stablehlo.constant dense<true> : tensor<i1>
    return %z, %true : tensor<32x16xf32>, tensor<i1>
  }
}";

#[test]
fn compiled_programs_describe_themselves() {
    let client = client(1);
    let product = client.compile(MATMUL, &CompileOptions::default()).unwrap();
    assert!(product.name().contains("product"), "{}", product.name());
    assert_eq!(product.outputs(), [TensorType::f32([32, 16]), TensorType::scalar(DType::Bool)]);
    let memory = product.memory().unwrap();
    assert_eq!(memory.argument, 4 * (32 * 64 + 64 * 16));
    assert!((4 * 32 * 16 + 1..4 * 32 * 16 + 128).contains(&memory.output), "{memory:?}");
    assert_eq!(memory.alias, 0);
    assert!(product.cost_analysis().unwrap()["flops"] >= 2.0 * 32.0 * 64.0 * 16.0);
    let optimized = product.optimized().unwrap();
    assert!(!optimized.format.is_empty() && !optimized.code.is_empty());

    let in_place = compile(&client, DOUBLE_IN_PLACE).memory().unwrap();
    assert_eq!((in_place.argument, in_place.alias), (16, 16));
}

#[test]
fn serialized_programs_run_again() {
    let client = client(1);
    let double = compile(&client, DOUBLE_IN_PLACE);
    let serialized = double.serialize().unwrap();
    let loaded = client.deserialize(&serialized).unwrap();
    assert_eq!(loaded.outputs(), double.outputs());
    let x = Buffer::from_host(&client.devices()[0], &array(&[1.5f32; 4])).unwrap();
    let y = loaded.execute(vec![vec![Arg::Donate(x)]]).unwrap();
    assert_eq!(y[0][0].to_host().unwrap(), array(&[3.0f32; 4]));
    let error = client.deserialize(b"no executable").unwrap_err();
    assert!(matches!(error, PjrtError::Plugin { .. }), "{error}");
}

#[test]
fn equal_programs_have_equal_fingerprints_where_there_are_any() {
    let client = client(1);
    let [first, second] = [0, 1].map(|_| compile(&client, DOUBLE_IN_PLACE).fingerprint());
    match (first, second) {
        (Ok(first), Ok(second)) => assert_eq!(first, second),
        (first, _) => {
            let error = first.unwrap_err();
            assert!(matches!(error, PjrtError::Plugin { code: ErrorCode::Unimplemented, .. }), "{error}");
        }
    }
}

#[test]
fn overrides_reach_xla() {
    let dumps = tempfile::tempdir().unwrap();
    let client = client(1);
    let options = CompileOptions::default()
        .with_override("xla_dump_to", dumps.path().to_str().unwrap())
        .with_override("xla_dump_hlo_as_text", true)
        .with_override("xla_backend_optimization_level", 0i64);
    client.compile(DOUBLE_IN_PLACE, &options).unwrap();
    assert!(std::fs::read_dir(dumps.path()).unwrap().count() > 0);

    let unknown = CompileOptions::default().with_override("xla_no_such_option", true);
    let error = client.compile(DOUBLE_IN_PLACE, &unknown).unwrap_err();
    assert!(error.to_string().contains("xla_no_such_option"), "{error}");
}

#[test]
fn bad_programs_are_errors() {
    let client = client(1);
    for (program, reason) in [
        ("func.func @main(", "syntax"),
        ("func.func @main(%x: tensor<2xf32>) -> tensor<3xf32> { return %x : tensor<2xf32> }", "types"),
        ("", "no entry"),
    ] {
        let error = client.compile(program, &CompileOptions::default()).unwrap_err();
        assert!(matches!(error, PjrtError::Plugin { function: "PJRT_Client_Compile", .. }), "{reason}: {error}");
    }
    let byte = "func.func @main(%x: tensor<2xi8>) -> tensor<2xi8> { return %x : tensor<2xi8> }";
    let error = client.compile(byte, &CompileOptions::default()).unwrap_err();
    assert!(matches!(error, PjrtError::ElementType { code: 2 }), "{error}");
}

#[test]
fn programs_can_be_placed_on_a_device() {
    let client = client(2);
    let options = CompileOptions { device_assignment: Some(vec![vec![1]]), ..CompileOptions::default() };
    let double = client.compile(DOUBLE_IN_PLACE, &options).unwrap();
    let x = Buffer::from_host(&client.devices()[1], &array(&[1.0f32; 4])).unwrap();
    let y = double.execute(vec![vec![Arg::Keep(&x)]]).unwrap();
    assert_eq!(y[0][0].to_host().unwrap(), array(&[2.0f32; 4]));
}

#[test]
fn shardy_splits_a_program_over_two_devices() {
    let client = client(2);
    let program = r#"
      module @split {
        sdy.mesh @mesh = <["data"=2]>
        func.func @main(%x: tensor<4xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"data"}]>}) -> tensor<f32> {
          %zero = stablehlo.constant dense<0.0> : tensor<f32>
          %sum = stablehlo.reduce(%x init: %zero) applies stablehlo.add across dimensions = [0]
            : (tensor<4xf32>, tensor<f32>) -> tensor<f32>
          return %sum : tensor<f32>
        }
      }"#;
    let options = CompileOptions { partitions: 2, use_spmd: true, use_shardy: true, ..CompileOptions::default() };
    let split = client.compile(program, &options).unwrap();
    let half = |device: usize, x: [f32; 2]| Buffer::from_host(&client.devices()[device], &array(&x)).unwrap();
    let halves = [half(0, [1.0, 2.0]), half(1, [3.0, 4.0])];
    let sums = split.execute(halves.iter().map(|x| vec![Arg::Keep(x)]).collect()).unwrap();
    for sum in sums {
        assert_eq!(sum[0].to_host().unwrap().to_f64(), [10.0]);
    }
}

#[test]
fn a_plugin_without_topologies_says_so() {
    let error = Topology::create(&plugin(), &[("topology".to_owned(), "1x1x2".into())]).unwrap_err();
    let function = "PJRT_TopologyDescription_Create";
    assert!(matches!(&error, PjrtError::Plugin { function: f, code: ErrorCode::Unimplemented, .. } if *f == function));
    assert!(error.to_string().contains("Topology not supported for CPU"), "{error}");
}
