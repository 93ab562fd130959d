//! Typed programs on the CPU plugin.

use twinflow_array::Tree;
use twinflow_compiler::{
    HostArray, Tensor, TensorType, Traced, grad, jit,
    pjrt::{Client, ClientOptions, CompileOptions, Platform, Plugin},
    remat, scan, to_device, to_host,
};

#[derive(Tree, Clone, Debug)]
struct Layer<L> {
    weight: L,
    bias: L,
}

fn client() -> Client {
    let plugin = Plugin::discover(Platform::Cpu, None).unwrap();
    Client::new(&plugin, &ClientOptions { cpu_device_count: Some(1), ..ClientOptions::default() }).unwrap()
}

fn loss<'t>(layers: &Layer<Tensor<'t>>, x: Tensor<'t>, rematerialize: bool) -> Tensor<'t> {
    let (x, _) = scan(&x, layers, |x, layer: Layer<Tensor<'t>>| {
        let apply = |x: Tensor<'t>| (x.matmul(layer.weight) + layer.bias).tanh() + x;
        let y = if rematerialize { remat(&x, apply) } else { apply(x) };
        (y, Vec::<Tensor<'t>>::new())
    });
    x.square().mean_all()
}

/// One gradient step on scanned layers, with donation.
fn training_step(rematerialize: bool) -> Traced<Layer<TensorType>, TensorType, (Layer<TensorType>, TensorType)> {
    let layers = Layer { weight: TensorType::f32([3, 4, 4]), bias: TensorType::f32([3, 4]) };
    jit("step", layers, TensorType::f32([5, 4]), |_, layers, x| {
        let value = loss(&layers, x, rematerialize);
        let grads = grad(&layers, |layers| loss(&layers, x, rematerialize));
        let weight = layers.weight - grads.weight * 0.1;
        (Layer { weight, bias: layers.bias - grads.bias * 0.1 }, value)
    })
    .unwrap()
}

#[test]
fn a_training_step_lowers_its_loss_with_and_without_remat() {
    let client = client();
    let device = &client.devices()[0];
    let ramp = |n: usize| (0..n).map(|i| ((i * 37 % 23) as f32 - 11.0) / 30.0).collect::<Vec<_>>();
    let host = Layer {
        weight: HostArray::from_slice([3, 4, 4], &ramp(48)).unwrap(),
        bias: HostArray::from_slice([3, 4], &ramp(12)).unwrap(),
    };
    let x = to_device(&HostArray::from_slice([5, 4], &ramp(20)).unwrap(), device).unwrap();
    let curves = [false, true].map(|rematerialize| {
        let step = training_step(rematerialize).compile(&client, &CompileOptions::default()).unwrap();
        let mut state = to_device(&host, device).unwrap();
        let losses: Vec<f64> = (0..5)
            .map(|_| {
                let (next, value) =
                    step.call(std::mem::replace(&mut state, to_device(&host, device).unwrap()), &x).unwrap();
                state = next;
                to_host(&value).unwrap().to_f64()[0]
            })
            .collect();
        losses
    });
    assert!(curves[0].windows(2).all(|pair| pair[1] < pair[0]), "{curves:?}");
    assert!(curves[0].iter().zip(&curves[1]).all(|(a, b)| (a - b).abs() < 1e-6), "{curves:?}");
}

#[test]
fn an_argument_of_another_type_is_named() {
    let client = client();
    let step = training_step(false).compile(&client, &CompileOptions::default()).unwrap();
    let zeros = |shape: &[usize]| HostArray::zeros(TensorType::f32(shape));
    let device = &client.devices()[0];
    let layers = to_device(&Layer { weight: zeros(&[3, 4, 4]), bias: zeros(&[4]) }, device).unwrap();
    let x = to_device(&zeros(&[5, 4]), device).unwrap();
    let error = step.call(layers, &x).err().unwrap();
    assert_eq!(error.to_string(), "step: argument 'bias' is f32[4], but the program takes f32[3, 4]");
}
