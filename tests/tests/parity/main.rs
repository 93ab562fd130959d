//! Networks against PyTorch modules: weights go out and come in under PyTorch's names and layouts, and give the same
//! velocities. `golden/dit_pytorch*.safetensors` was made by `dit.py make`; where a Python with torch and safetensors
//! is at hand (python3, or what TWINFLOW_TORCH_PYTHON names), PyTorch also computes with weights exported here.

mod networks;
mod shapes;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use safetensors::SafeTensors;
use twinflow_array::{DType, HostArray, Place, TensorType, Tree, leaves, map};
use twinflow_checkpoints::{Checkpoint, ExportOptions, Metadata, SaveRequest, export, import_safetensors, save};
use twinflow_compiler::trace;
use twinflow_models::denoisers::{
    DataSpec, DitConfig, MlpConfig, ModelConfig, QwenImage21Config, QwenImageConfig, SanaConfig, Sd3Config, TextSpec,
    UnetConfig, ZImageConfig,
};
use twinflow_nn::{Condition, Denoiser, DenoiserInput, Params};
use twinflow_tests::{values, xla};

/// Largest relative L2 distance between velocities: both compute in f32, in another order of sums.
const CLOSE: f64 = 1e-5;

type Tensors = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

/// What `dit.py` describes.
fn dit() -> Box<dyn Denoiser> {
    let config =
        DitConfig { width: 8, depth: 2, heads: 2, mlp_ratio: 2, patch: 2, qk_norm: true, ..Default::default() };
    Box::new(config.build(DataSpec::labelled([4, 6, 3], 3)).unwrap())
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

fn tensors(path: &Path) -> Tensors {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.tensors().into_iter().map(|(name, view)| (name, (view.shape().to_vec(), view.data().to_vec()))).collect()
}

/// x, t, r, labels and the velocity that PyTorch made of them.
fn sample() -> [HostArray; 5] {
    let stored = tensors(&golden("dit_pytorch_sample.safetensors"));
    ["x", "t", "r", "y", "velocity"].map(|name| {
        let (shape, bytes) = &stored[name];
        let ty = TensorType::f32(shape.as_slice());
        let ty = if name == "y" { ty.with_dtype(DType::I32) } else { ty };
        HostArray::from_bytes(ty, bytes).unwrap()
    })
}

fn velocity(network: &dyn Denoiser, params: &Params<HostArray>, [x, t, r, labels, _]: &[HostArray; 5]) -> Vec<f64> {
    let inputs = (params.clone(), vec![x.clone(), t.clone(), r.clone(), labels.clone()]);
    let (program, ()) = trace(|trace| {
        let (params, x) = map(&inputs, |place, array| trace.input(place.path(), array.ty().clone()));
        let condition = Condition::of_labels(x[3]);
        let input = DenoiserInput { x: x[0], t: x[1], r: x[2], condition };
        trace.outputs("", &network.velocity(&params, &input));
    })
    .unwrap();
    let arrays: Vec<HostArray> = leaves(&inputs).into_iter().cloned().collect();
    xla::run(&program, &arrays)[0].to_f64()
}

#[track_caller]
fn assert_close(actual: &[f64], expected: &[f64]) {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let distance = norm(&mut actual.iter().zip(expected).map(|(a, e)| a - e)) / norm(&mut expected.iter().copied());
    assert!(actual.len() == expected.len() && distance < CLOSE, "relative L2 distance {distance:e}");
}

/// Saves parameters as a checkpoint and exports them.
fn export_to(path: &Path, params: &Params<HostArray>, spec: &Params<TensorType>) {
    let metadata = Metadata { step: 1, world_size: 1, ..Metadata::default() };
    let mut arrays = Vec::new();
    params.visit(&Place::new("ema"), &mut |place, array| arrays.push((place.path().clone(), array.clone())));
    let saved = save(&SaveRequest { folder: path.parent().unwrap().into(), metadata, arrays }).unwrap();
    export(&Checkpoint::open(saved).unwrap(), spec, path, &ExportOptions::default()).unwrap();
}

/// Layers that start at zero would hide what lies before them.
fn random(spec: &Params<TensorType>) -> Params<HostArray> {
    let mut seed = 0;
    map(spec, |_, ty| {
        seed += 1;
        values::scattered(ty, seed)
    })
}

#[test]
fn weights_of_pytorch_give_its_velocity_and_go_back_bit_for_bit() {
    let (network, sample) = (dit(), sample());
    let spec = network.parameters().spec();
    let weights = golden("dit_pytorch.safetensors");
    let params = import_safetensors(&weights, &spec).unwrap();
    assert_close(&velocity(network.as_ref(), &params, &sample), &sample[4].to_f64());
    let folder = tempfile::tempdir().unwrap();
    let exported = folder.path().join("exported.safetensors");
    export_to(&exported, &params, &spec);
    assert_eq!(tensors(&exported), tensors(&weights));
}

#[test]
fn pytorch_loads_exported_weights_and_gives_our_velocity() {
    let Some(python) = python_with_torch() else { return };
    let (network, sample) = (dit(), sample());
    let init = network.parameters();
    let params = random(&init.spec());
    let folder = tempfile::tempdir().unwrap();
    let [weights, output] = ["weights.safetensors", "output.safetensors"].map(|name| folder.path().join(name));
    export_to(&weights, &params, &init.spec());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/dit.py");
    let mut command = Command::new(python);
    command.arg(script).arg("run").arg(weights).arg(golden("dit_pytorch_sample.safetensors")).arg(&output);
    let result = command.output().unwrap();
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    let (_, bytes) = &tensors(&output)["velocity"];
    let expected = HostArray::from_bytes(sample[4].ty().clone(), bytes).unwrap();
    assert_close(&velocity(network.as_ref(), &params, &sample), &expected.to_f64());
}

#[test]
fn weights_of_every_model_go_out_and_come_back_bit_for_bit() {
    let unet = UnetConfig { channels: 4, multipliers: vec![1, 2], embedding: 4, groups: 2 };
    let qwen_image = QwenImageConfig { depth: 2, heads: 2, axes_dims_rope: [2, 2, 2], ..Default::default() };
    let sd3 = Sd3Config { depth: 5, heads: 1, head_width: 4, dual_attention_layers: 2, ..Default::default() };
    let sd3 = Sd3Config { pos_embed_max_size: 4, ..sd3 };
    let axes_dims_rope = [2; 3];
    let qwen_image_21 = QwenImage21Config { depth: 2, heads: 2, axes_dims_rope, ..Default::default() };
    let sana = SanaConfig { width: 8, depth: 2, heads: 2, cross_heads: 4, qk_norm: true, ..Default::default() };
    let z_image = ZImageConfig { depth: 2, heads: 1, axes_dims_rope, ..Default::default() };
    let text = Some(TextSpec { tokens: 3, width: 4 });
    let data = DataSpec { text, ..DataSpec::labelled([4, 4, 2], 3) };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let models = [
        ModelConfig::default(),
        ModelConfig::Mlp(MlpConfig::default()),
        ModelConfig::QwenImage(qwen_image),
        ModelConfig::QwenImage21(qwen_image_21),
        ModelConfig::Sana(sana),
        ModelConfig::Sd3(sd3),
        ModelConfig::Unet(unet),
        ModelConfig::ZImage(z_image),
    ];
    for model in models {
        let spec = model.build(data).unwrap().parameters().spec();
        let params = random(&spec);
        export_to(&path, &params, &spec);
        assert_eq!(leaves(&import_safetensors(&path, &spec).unwrap()), leaves(&params), "{model:?}");
    }
}

fn python_with_torch() -> Option<String> {
    let python = env::var("TWINFLOW_TORCH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut command = Command::new(&python);
    command.args(["-c", "import torch, safetensors.torch"]).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success()).then_some(python)
}
