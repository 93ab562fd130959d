//! A SANA-shaped step, forward and backward, on weights and a batch that `bench/sana_peer.py` wrote: `make bench-sana`.
//!
//! `sana_step FOLDER f32|bf16` says `ready`, then runs a step for each line of its input; of each it prints seconds, loss
//! and norm of the gradients.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, BufRead},
    path::{Path, PathBuf},
    time::Instant,
};

use safetensors::SafeTensors;
use serde_json::Value;
use twinflow_array::{DType, HostArray, TensorType, by_ref, leaves};
use twinflow_checkpoints::import_safetensors;
use twinflow_compiler::{
    Jit, Tensor, jit,
    pjrt::{Buffer, Client, ClientOptions, CompileOptions, Platform, Plugin},
    to_device, to_host, types_of, value_and_grad,
};
use twinflow_models::denoisers::{DataSpec, Sana, SanaConfig, TextSpec};
use twinflow_nn::{Condition, Denoiser, DenoiserInput, Params, TargetTime};

/// Loss and gradients from weights and a batch: x, target, t, text, mask.
type Step = Jit<Option<TensorType>, (Params<TensorType>, Vec<TensorType>), (TensorType, Params<TensorType>)>;

/// The network of `sizes.json`, as diffusers has it: without a target time.
fn network(folder: &Path) -> Sana {
    let text = fs::read_to_string(folder.join("sizes.json")).expect("sizes.json can be read");
    let sizes: Value = serde_json::from_str(&text).expect("sizes.json is JSON");
    let size = |name: &str| sizes[name].as_u64().unwrap_or_else(|| panic!("no size {name}")) as usize;
    let config = SanaConfig {
        width: size("width"),
        depth: size("depth"),
        heads: size("heads"),
        cross_heads: size("cross_heads"),
        target_time: TargetTime::Ignored,
        ..SanaConfig::default()
    };
    let text = Some(TextSpec { tokens: size("text_tokens"), width: size("text_width") });
    let sample = [size("side"), size("side"), size("channels")];
    config.build(DataSpec { text, ..DataSpec::labelled(sample, 0) }).expect("the sizes fit")
}

/// x, target (NCHW), t, text, mask.
fn batch(folder: &Path) -> Vec<HostArray> {
    let bytes = fs::read(folder.join("batch.safetensors")).expect("batch.safetensors can be read");
    let file = SafeTensors::deserialize(&bytes).expect("batch.safetensors holds tensors");
    let stored: BTreeMap<String, _> = file.tensors().into_iter().collect();
    let array = |name: &str| {
        let dtype = if name == "mask" { DType::I32 } else { DType::F32 };
        let ty = TensorType::new(dtype, stored[name].shape().to_vec());
        HostArray::from_bytes(ty, stored[name].data()).expect("a tensor of its type")
    };
    ["x", "target", "t", "text", "mask"].map(array).into()
}

fn loss<'t>(network: &Sana, params: &Params<Tensor<'t>>, batch: &[Tensor<'t>]) -> Tensor<'t> {
    let [x, target] = [batch[0], batch[1]].map(|image| image.transpose(&[0, 2, 3, 1]));
    let condition = Condition { text: Some(batch[3]), text_mask: Some(batch[4]), ..Condition::default() };
    let input = DenoiserInput { x, t: batch[2], r: batch[2], condition };
    (network.velocity(params, &input) - target).square().mean_all()
}

fn compile(client: &Client, network: &Sana, kept: (Params<TensorType>, Vec<TensorType>), dtype: Option<DType>) -> Step {
    let traced = jit("step", None::<TensorType>, kept, |trace, _, (params, batch): (Params<Tensor<'_>>, _)| {
        let loss = |params| (trace.compute_in(dtype, || loss(network, &params, &batch)), ());
        let ((loss, ()), gradients) = value_and_grad(&params, loss);
        (loss, gradients)
    });
    let traced = traced.unwrap_or_else(|error| panic!("{error}"));
    traced.compile(client, &CompileOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// Seconds, loss and norm of the gradients of one step.
fn run(step: &Step, params: &Params<Buffer>, batch: &[Buffer]) -> (f64, f64, f64) {
    let start = Instant::now();
    let kept = (by_ref(params), batch.iter().collect());
    let (loss, gradients) = step.call(None, kept).unwrap_or_else(|error| panic!("{error}"));
    leaves(&gradients).into_iter().try_for_each(Buffer::wait).unwrap_or_else(|error| panic!("{error}"));
    let seconds = start.elapsed().as_secs_f64();
    let (loss, gradients) = to_host(&(loss, gradients)).unwrap_or_else(|error| panic!("{error}"));
    let squares = leaves(&gradients).into_iter().flat_map(HostArray::to_f64).map(|x| x * x).sum::<f64>();
    (seconds, loss.to_f64()[0], squares.sqrt())
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let [_, folder, precision] = &arguments[..] else { panic!("usage: sana_step FOLDER f32|bf16") };
    let folder = PathBuf::from(folder);
    let network = network(&folder);
    let weights = import_safetensors(&folder.join("weights.safetensors"), &network.parameters().spec());
    let host = (weights.unwrap_or_else(|error| panic!("{error}")), batch(&folder));
    let plugin = Plugin::discover(Platform::Cpu, None).unwrap_or_else(|error| panic!("{error}"));
    let options = ClientOptions { cpu_device_count: Some(1), ..ClientOptions::default() };
    let client = Client::new(&plugin, &options).unwrap_or_else(|error| panic!("{error}"));
    let dtype = (precision == "bf16").then_some(DType::BF16);
    let step = compile(&client, &network, types_of(&host), dtype);
    let (params, batch) = to_device(&host, &client.devices()[0]).unwrap_or_else(|error| panic!("{error}"));
    run(&step, &params, &batch);
    println!("ready");
    for line in io::stdin().lock().lines() {
        line.expect("the input can be read");
        let (seconds, loss, norm) = run(&step, &params, &batch);
        println!("{seconds} {loss} {norm}");
    }
}
