//! Qwen-Image-2.1's transformer, as diffusers' `QwenImage21Transformer2DModel`: pictures as tokens in one list, those to
//! go by first; times in [0, 1].

use serde_json::Value;
use twinflow_compiler::Tensor;
use twinflow_models::denoisers::{DataSpec, QwenImage21Config, ReferenceSlots, TextSpec};
use twinflow_nn::{Condition, Denoiser, DenoiserInput, Init, Params, TargetTime};

use super::{Inputs, Network, case::Case};

struct QwenImage21 {
    network: Box<dyn Denoiser>,
    /// Height and width of the pictures, in order.
    sizes: Vec<[usize; 2]>,
}

/// Of a config of diffusers; the target time enters if the case has one.
pub fn network(config: &Value, case: &Case) -> Box<dyn Network> {
    let size = |name: &str| config[name].as_u64().unwrap_or_else(|| panic!("no size {name}")) as usize;
    let sizes: Vec<[usize; 3]> = serde_json::from_value(case.img_shapes.clone().unwrap()).unwrap();
    let sizes: Vec<[usize; 2]> = sizes.into_iter().map(|[_, height, width]| [height, width]).collect();
    let (picture, references) = sizes.split_last().unwrap();
    let text = &case.input("encoder_hidden_states").shape;
    let qwen = QwenImage21Config {
        depth: size("num_layers"),
        heads: size("num_attention_heads"),
        mlp_ratio: size("mlp_ratio"),
        axes_dims_rope: serde_json::from_value(config["axes_dims_rope"].clone()).unwrap(),
        target_time: if case.inputs.contains_key("target") { TargetTime::Difference } else { TargetTime::Ignored },
        references: slots(case, references),
        ..QwenImage21Config::default()
    };
    let data = DataSpec {
        text: Some(TextSpec { tokens: text[1], width: text[2] }),
        ..DataSpec::labelled([picture[0], picture[1], size("in_channels")], 0)
    };
    Box::new(QwenImage21 { network: Box::new(qwen.build(data).unwrap()), sizes })
}

/// Where the pictures to go by stand: their places, four latent tokens each, are marked in `img_mask`.
fn slots(case: &Case, sizes: &[[usize; 2]]) -> Vec<ReferenceSlots> {
    let mask = &case.inputs["img_mask"];
    let row = &mask.as_slice::<i32>().unwrap()[..mask.shape()[1]];
    let mut marked = row.iter().enumerate().filter(|(_, mark)| **mark == 1).map(|(at, _)| at);
    let slots = sizes.iter().map(|&[height, width]| {
        let places: Vec<usize> = marked.by_ref().take(height * width / 4).collect();
        ReferenceSlots { at: places[0], height, width }
    });
    slots.collect()
}

impl Network for QwenImage21 {
    fn parameters(&self) -> Params<Init> {
        self.network.parameters()
    }

    fn out<'t>(&self, params: &Params<Tensor<'t>>, inputs: &Inputs<'t>) -> Tensor<'t> {
        let tokens = inputs["hidden_states"];
        let [b, channels] = [tokens.dim(0), tokens.dim(2)];
        let counts: Vec<usize> = self.sizes.iter().map(|[height, width]| height * width).collect();
        let pictures = tokens.split(1, &counts).into_iter().zip(&self.sizes);
        let mut pictures: Vec<_> =
            pictures.map(|(tokens, [height, width])| tokens.reshape([b, *height, *width, channels])).collect();
        let (x, t) = (pictures.pop().unwrap(), inputs["timestep"]);
        let condition = Condition {
            text: Some(inputs["encoder_hidden_states"]),
            text_mask: Some(inputs["mask"]),
            references: pictures,
            ..Condition::default()
        };
        let r = inputs.get("target").copied().unwrap_or(t);
        let velocity = self.network.velocity(params, &DenoiserInput { x, t, r, condition });
        velocity.reshape([b, counts[counts.len() - 1], channels])
    }
}
