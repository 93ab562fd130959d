//! SANA, as diffusers' `SanaTransformer2DModel`: pictures NCHW, times in thousandths.

use serde_json::Value;
use twinflow_compiler::Tensor;
use twinflow_models::denoisers::{DataSpec, SanaConfig, TextSpec};
use twinflow_nn::{Condition, Denoiser, DenoiserInput, Init, Params, TargetTime};

use super::{Inputs, Network, case::Case};

struct Sana(Box<dyn Denoiser>);

/// Of a config of diffusers; the target time enters if the case has one.
pub fn network(config: &Value, case: &Case) -> Box<dyn Network> {
    let size = |name: &str| config[name].as_u64().unwrap_or_else(|| panic!("no size {name}")) as usize;
    let target_time = match case.inputs.contains_key("target") {
        true => TargetTime::Difference,
        false => TargetTime::Ignored,
    };
    let sana = SanaConfig {
        width: size("num_attention_heads") * size("attention_head_dim"),
        depth: size("num_layers"),
        heads: size("num_attention_heads"),
        cross_heads: size("num_cross_attention_heads"),
        mlp_ratio: config["mlp_ratio"].as_f64().unwrap(),
        patch: size("patch_size"),
        qk_norm: !config["qk_norm"].is_null(),
        target_time,
        ..SanaConfig::default()
    };
    let (x, text) = (&case.input("hidden_states").shape, &case.input("encoder_hidden_states").shape);
    let text = TextSpec { tokens: text[1], width: text[2] };
    let data = DataSpec { text: Some(text), ..DataSpec::labelled([x[2], x[3], x[1]], 0) };
    Box::new(Sana(Box::new(sana.build(data).unwrap())))
}

impl Network for Sana {
    fn parameters(&self) -> Params<Init> {
        self.0.parameters()
    }

    fn out<'t>(&self, params: &Params<Tensor<'t>>, inputs: &Inputs<'t>) -> Tensor<'t> {
        let t = inputs["timestep"] / 1000.0;
        let input = DenoiserInput {
            x: inputs["hidden_states"].transpose(&[0, 2, 3, 1]),
            t,
            r: inputs.get("target").map_or(t, |target| *target / 1000.0),
            condition: Condition {
                text: Some(inputs["encoder_hidden_states"]),
                text_mask: Some(inputs["mask"]),
                ..Condition::default()
            },
        };
        self.0.velocity(params, &input).transpose(&[0, 3, 1, 2])
    }
}
