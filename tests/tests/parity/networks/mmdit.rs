//! Qwen-Image and Stable Diffusion 3.

use std::fs;

use serde_json::Value;
use twinflow_array::HostArray;
use twinflow_checkpoints::import_safetensors;
use twinflow_compiler::{Tensor, concatenate};
use twinflow_models::denoisers::{DataSpec, QwenImage, QwenImageConfig, Sd3, Sd3Config, TextSpec};
use twinflow_nn::{Condition, Denoiser, DenoiserInput, Init, Params, TargetTime};

use super::{Inputs, Network, case::Case};
use crate::golden;

/// As the library has it: packed tokens in and out, pictures by their grids.
struct Packed {
    network: QwenImage,
    /// Rows and columns of tokens, the picture to be made first.
    grids: Vec<[usize; 2]>,
}

pub fn qwen_image(config: &Value, case: &Case) -> Box<dyn Network> {
    Box::new(packed(config, TargetTime::Ignored, case))
}

pub fn qwen_image_target(config: &Value, case: &Case) -> Box<dyn Network> {
    Box::new(packed(config, TargetTime::Difference, case))
}

fn packed(config: &Value, target_time: TargetTime, case: &Case) -> Packed {
    let shapes = case.img_shapes.as_ref().unwrap().as_array().unwrap();
    let grids: Vec<_> = shapes.iter().map(|shape| [number(&shape[1]), number(&shape[2])]).collect();
    let text = case.input("encoder_hidden_states");
    let sample = [2 * grids[0][0], 2 * grids[0][1], number(&config["out_channels"])];
    let text = Some(TextSpec { tokens: text.shape[1], width: text.shape[2] });
    let network =
        qwen_image_config(config, target_time).build(DataSpec { text, ..DataSpec::labelled(sample, 0) }).unwrap();
    Packed { network, grids }
}

fn qwen_image_config(config: &Value, target_time: TargetTime) -> QwenImageConfig {
    QwenImageConfig {
        depth: number(&config["num_layers"]),
        heads: number(&config["num_attention_heads"]),
        axes_dims_rope: [0, 1, 2].map(|axis| number(&config["axes_dims_rope"][axis])),
        zero_cond_t: config["zero_cond_t"].as_bool().unwrap(),
        target_time,
        ..Default::default()
    }
}

fn number(value: &Value) -> usize {
    value.as_u64().unwrap().try_into().unwrap()
}

impl Network for Packed {
    fn parameters(&self) -> Params<Init> {
        self.network.parameters()
    }

    fn out<'t>(&self, params: &Params<Tensor<'t>>, inputs: &Inputs<'t>) -> Tensor<'t> {
        let mut start = 0;
        let mut pictures = self.grids.iter().map(|&[rows, columns]| {
            start += rows * columns;
            unpack(inputs["hidden_states"].slice_dim(1, start - rows * columns, start), [rows, columns])
        });
        let (x, t) = (pictures.next().unwrap(), inputs["timestep"]);
        let condition = Condition {
            text: Some(inputs["encoder_hidden_states"]),
            text_mask: Some(inputs["mask"]),
            references: pictures.collect(),
            ..Condition::default()
        };
        let r = inputs.get("target").copied().unwrap_or(t);
        let input = DenoiserInput { x, t, r, condition };
        let velocity = pack(self.network.velocity(params, &input));
        if input.condition.references.is_empty() {
            return velocity;
        }
        // The references' tokens, which no picture is made of.
        let all = self.network.token_velocities(params, &input);
        concatenate(&[velocity, all.slice_dim(1, velocity.dim(1), all.dim(1))], 1)
    }
}

/// Tokens of (channel, row, column) of a 2 x 2 patch as latents `[b, height, width, channels]`.
fn unpack(tokens: Tensor<'_>, [rows, columns]: [usize; 2]) -> Tensor<'_> {
    let (b, channels) = (tokens.dim(0), tokens.dim(2) / 4);
    let parted = tokens.reshape([b, rows, columns, channels, 2, 2]).transpose(&[0, 1, 4, 2, 5, 3]);
    parted.reshape([b, 2 * rows, 2 * columns, channels])
}

fn pack(latents: Tensor<'_>) -> Tensor<'_> {
    let (b, rows, columns, channels) = (latents.dim(0), latents.dim(1) / 2, latents.dim(2) / 2, latents.dim(3));
    let parted = latents.reshape([b, rows, 2, columns, 2, channels]).transpose(&[0, 1, 3, 5, 2, 4]);
    parted.reshape([b, rows * columns, 4 * channels])
}

pub fn sd3(config: &Value, case: &Case) -> Box<dyn Network> {
    let text = case.input("encoder_hidden_states");
    let [channels, height, width] = [1, 2, 3].map(|dim| case.input("hidden_states").shape[dim]);
    let text = Some(TextSpec { tokens: text.shape[1], width: text.shape[2] });
    let data = DataSpec { text, ..DataSpec::labelled([height, width, channels], 0) };
    Box::new(sd3_config(config).build(data).unwrap())
}

fn sd3_config(config: &Value) -> Sd3Config {
    let dual = config["dual_attention_layers"].as_array().unwrap();
    assert!(dual.iter().map(number).eq(0..dual.len()));
    Sd3Config {
        depth: number(&config["num_layers"]),
        heads: number(&config["num_attention_heads"]),
        head_width: number(&config["attention_head_dim"]),
        patch: number(&config["patch_size"]),
        dual_attention_layers: dual.len(),
        qk_norm: config["qk_norm"] == "rms_norm",
        pooled_width: number(&config["pooled_projection_dim"]),
        pos_embed_max_size: number(&config["pos_embed_max_size"]),
        sample_size: number(&config["sample_size"]),
        target_time: TargetTime::Ignored,
        ..Default::default()
    }
}

impl Network for Sd3 {
    fn parameters(&self) -> Params<Init> {
        Denoiser::parameters(self)
    }

    fn out<'t>(&self, params: &Params<Tensor<'t>>, inputs: &Inputs<'t>) -> Tensor<'t> {
        let condition = Condition {
            text: Some(inputs["encoder_hidden_states"]),
            pooled_text: Some(inputs["pooled"]),
            ..Condition::default()
        };
        let t = inputs["timestep"] / 1000.0;
        let x = inputs["hidden_states"].transpose(&[0, 2, 3, 1]);
        self.velocity(params, &DenoiserInput { x, t, r: t, condition }).transpose(&[0, 3, 1, 2])
    }
}

#[test]
fn the_grid_of_positions_starts_as_the_stored_one() {
    let config = serde_json::from_str(&fs::read_to_string(golden("models/sd3/config.json")).unwrap()).unwrap();
    let text = Some(TextSpec { tokens: 7, width: 20 });
    let data = DataSpec { text, ..DataSpec::labelled([8, 8, 4], 0) };
    let network = sd3_config(&config).build(data).unwrap();
    let init = Denoiser::parameters(&network);
    let stored = import_safetensors(&golden("models/sd3/model.safetensors"), &init.spec()).unwrap();
    let at = init.paths().position(|path| path.as_str() == "positions").unwrap();
    assert!(init.leaves()[at].is_fixed());
    let [ours, stored] = [init.sample(0), stored].map(|params| HostArray::to_f64(&params.leaves()[at]));
    let most = ours.iter().zip(&stored).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(most < 1e-6, "{most}");
}
