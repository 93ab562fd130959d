//! Running programs.

use twinflow_array::HostArray;
use twinflow_pjrt::{Arg, Buffer, CompileOptions, PjrtError};

use crate::{DOUBLE_IN_PLACE, array, client, compile};

const ADD: &str = "
func.func @main(%x: tensor<4xf32>, %y: tensor<4xf32>) -> tensor<4xf32> {
  %z = stablehlo.add %x, %y : tensor<4xf32>
  return %z : tensor<4xf32>
}";

const SUM_OVER_REPLICAS: &str = r#"
module @sum attributes {mhlo.num_replicas = 2 : i32} {
  func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> {
    %sum = "stablehlo.all_reduce"(%x) ({
    ^bb0(%a: tensor<f32>, %b: tensor<f32>):
      %c = stablehlo.add %a, %b : tensor<f32>
      stablehlo.return %c : tensor<f32>
    }) {replica_groups = dense<[[0, 1]]> : tensor<1x2xi64>} : (tensor<2xf32>) -> tensor<2xf32>
    return %sum : tensor<2xf32>
  }
}"#;

#[test]
fn adds_two_arrays() {
    let client = client(1);
    let add = compile(&client, ADD);
    let upload = |array: &HostArray| Buffer::from_host(&client.devices()[0], array).unwrap();
    let x = upload(&array(&[1.0f32, 2.0, 3.0, 4.0]));
    let y = upload(&array(&[10.0f32, 20.0, 30.0, 40.0]));
    let outputs = add.execute(vec![vec![Arg::Keep(&x), Arg::Keep(&y)]]).unwrap();
    assert_eq!(outputs[0][0].to_host().unwrap(), array(&[11.0f32, 22.0, 33.0, 44.0]));
    // The same buffer twice is fine as long as it is kept.
    let outputs = add.execute(vec![vec![Arg::Keep(&x), Arg::Keep(&x)]]).unwrap();
    assert_eq!(outputs[0][0].to_host().unwrap(), array(&[2.0f32, 4.0, 6.0, 8.0]));
}

#[test]
fn donation_reuses_memory_and_keeping_does_not() {
    let client = client(1);
    let double = compile(&client, DOUBLE_IN_PLACE);
    let ones = array(&[1.0f32; 4]);
    let twos = array(&[2.0f32; 4]);
    let address = |buffer: &Buffer| buffer.with_bytes(<[u8]>::as_ptr).unwrap();

    let x = Buffer::from_host(&client.devices()[0], &ones).unwrap();
    let y = double.execute(vec![vec![Arg::Keep(&x)]]).unwrap().remove(0).remove(0);
    assert_ne!(address(&y), address(&x));
    assert_eq!((x.to_host().unwrap(), y.to_host().unwrap()), (ones.clone(), twos.clone()));

    let before = address(&x);
    let y = double.execute(vec![vec![Arg::Donate(x)]]).unwrap().remove(0).remove(0);
    assert_eq!(address(&y), before, "the argument's memory became the result's");
    assert_eq!(y.to_host().unwrap(), twos);
    assert_eq!(ones, array(&[1.0f32; 4]), "the upload was a copy");
}

#[test]
fn donated_host_memory_is_never_written() {
    let client = client(1);
    let double = compile(&client, DOUBLE_IN_PLACE);
    let host = array(&[1.0f32; 4]);
    let buffer = Buffer::from_host_zero_copy(&client.devices()[0], host.clone()).unwrap();
    let y = double.execute(vec![vec![Arg::Donate(buffer)]]).unwrap().remove(0).remove(0);
    assert_eq!(y.to_host().unwrap(), array(&[2.0f32; 4]));
    assert_eq!(host, array(&[1.0f32; 4]));
}

#[test]
fn a_chain_of_donations_runs_in_order() {
    let client = client(1);
    let double = compile(&client, DOUBLE_IN_PLACE);
    let mut x = Buffer::from_host(&client.devices()[0], &array(&[1.0f32; 4])).unwrap();
    let mut copies = Vec::new();
    for _ in 0..20 {
        copies.push(x.copy_to_host_async().unwrap());
        x = double.execute(vec![vec![Arg::Donate(x)]]).unwrap().remove(0).remove(0);
    }
    for (power, copy) in copies.into_iter().enumerate() {
        assert_eq!(copy.wait().unwrap(), array(&[(power as f32).exp2(); 4]));
    }
}

#[test]
fn two_devices_reduce_together() {
    let client = client(2);
    let options = CompileOptions { replicas: 2, ..CompileOptions::default() };
    let sum = client.compile(SUM_OVER_REPLICAS, &options).unwrap();
    assert_eq!((sum.device_count(), sum.replicas().unwrap(), sum.partitions().unwrap()), (2, 2, 1));
    let upload = |device: usize, x: &HostArray| Buffer::from_host(&client.devices()[device], x).unwrap();
    let x = [upload(0, &array(&[1.0f32, 2.0])), upload(1, &array(&[10.0f32, 20.0]))];
    for _ in 0..10 {
        let outputs = sum.execute(x.iter().map(|x| vec![Arg::Keep(x)]).collect()).unwrap();
        for device in outputs {
            assert_eq!(device[0].to_host().unwrap(), array(&[11.0f32, 22.0]));
        }
    }
}

#[test]
fn one_client_serves_many_threads() {
    let client = client(1);
    let double = compile(&client, DOUBLE_IN_PLACE);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (client, double) = (&client, &double);
            scope.spawn(move || {
                for i in 0..50 {
                    let x = array(&[(thread * 100 + i) as f32; 4]);
                    let buffer = Buffer::from_host(&client.devices()[0], &x).unwrap();
                    let y = double.execute(vec![vec![Arg::Donate(buffer)]]).unwrap().remove(0).remove(0);
                    assert_eq!(y.to_host().unwrap(), array(&[(thread * 100 + i) as f32 * 2.0; 4]));
                }
            });
        }
    });
}

#[test]
fn three_hundred_arguments_and_results() {
    let client = client(1);
    let names = |prefix: &str| (0..300).map(|i| format!("%{prefix}{i}")).collect::<Vec<_>>();
    let (x, y) = (names("x"), names("y"));
    let ty = "tensor<4xf32>";
    let arguments: Vec<_> =
        x.iter().enumerate().map(|(i, x)| format!("{x}: {ty} {{tf.aliasing_output = {i} : i32}}")).collect();
    let body: String = x.iter().zip(&y).map(|(x, y)| format!("{y} = stablehlo.add {x}, {x} : {ty}\n")).collect();
    let types = vec![ty; 300].join(", ");
    let program = format!(
        "func.func @main({}) -> ({types}) {{\n{body} return {} : {types}\n}}",
        arguments.join(", "),
        y.join(", ")
    );
    let executable = compile(&client, &program);
    assert_eq!(executable.outputs().len(), 300);
    let upload = |i| Buffer::from_host(&client.devices()[0], &array(&[i as f32; 4])).unwrap();
    let mut state: Vec<Buffer> = (0..300).map(upload).collect();
    for _ in 0..3 {
        state = executable.execute(vec![state.into_iter().map(Arg::Donate).collect()]).unwrap().remove(0);
    }
    for (i, buffer) in state.iter().enumerate() {
        assert_eq!(buffer.to_host().unwrap(), array(&[8.0 * i as f32; 4]));
    }
}

#[test]
fn programs_without_arguments_run() {
    let client = client(1);
    let program = "func.func @main() -> tensor<i32> {
      %c = stablehlo.constant dense<7> : tensor<i32>
      return %c : tensor<i32>
    }";
    let outputs = compile(&client, program).execute(vec![vec![]]).unwrap();
    assert_eq!(outputs[0][0].to_host().unwrap(), HostArray::scalar(7i32));
}

#[test]
fn wrong_arguments_are_errors() {
    let (client, other) = (client(2), client(1));
    let add = compile(&client, ADD);
    let upload = |array: &HostArray| Buffer::from_host(&client.devices()[0], array).unwrap();
    let x = upload(&array(&[1.0f32; 4]));
    let short = upload(&array(&[1.0f32; 3]));
    let elsewhere = Buffer::from_host(&client.devices()[1], &array(&[1.0f32; 4])).unwrap();
    let foreign = Buffer::from_host(&other.devices()[0], &array(&[1.0f32; 4])).unwrap();
    let with = |y| add.execute(vec![vec![Arg::Keep(&x), Arg::Keep(y)]]).unwrap_err();

    assert!(matches!(with(&short), PjrtError::Plugin { .. }));
    assert!(matches!(with(&elsewhere), PjrtError::Plugin { .. }));
    assert!(matches!(with(&foreign), PjrtError::ForeignBuffer { device: 0, argument: 1, .. }));
    assert!(matches!(add.execute(vec![vec![Arg::Keep(&x)]]), Err(PjrtError::Plugin { .. })));
    let error = add.execute(vec![vec![], vec![]]).unwrap_err();
    assert!(matches!(error, PjrtError::DeviceCount { expected: 1, actual: 2, .. }), "{error}");
}
