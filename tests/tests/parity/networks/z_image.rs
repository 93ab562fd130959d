//! Z-Image's transformer, as diffusers' `ZImageTransformer2DModel` (times from noise, 0, to data, 1; data - noise) and, with
//! a target time, as TwinFlow's wrapper around it (noise - data); pictures NCHW.

use serde_json::Value;
use twinflow_array::DType;
use twinflow_compiler::Tensor;
use twinflow_models::denoisers::{DataSpec, TextSpec, ZImageConfig, ZImageTime};
use twinflow_nn::{Condition, Denoiser, DenoiserInput, Init, Params};

use super::{Inputs, Network, case::Case};

struct ZImage(Box<dyn Denoiser>);

/// Of a config of diffusers; the target time enters if the case has one.
pub fn network(config: &Value, case: &Case) -> Box<dyn Network> {
    let size = |name: &str| config[name].as_u64().map(|size| size as usize);
    let required = |name: &str| size(name).unwrap_or_else(|| panic!("no size {name}"));
    let z_image = ZImageConfig {
        depth: required("n_layers"),
        refiner_depth: required("n_refiner_layers"),
        heads: required("n_heads"),
        axes_dims_rope: serde_json::from_value(config["axes_dims"].clone()).unwrap(),
        time_hidden: size("t_embedder_mid_size").unwrap_or(ZImageConfig::default().time_hidden),
        target_time: if case.inputs.contains_key("target") { ZImageTime::Released } else { ZImageTime::Ignored },
        ..ZImageConfig::default()
    };
    let (x, text) = (&case.input("hidden_states").shape, &case.input("encoder_hidden_states").shape);
    let text = TextSpec { tokens: text[1], width: text[2] };
    let data = DataSpec { text: Some(text), ..DataSpec::labelled([x[2], x[3], x[1]], 0) };
    Box::new(ZImage(Box::new(z_image.build(data).unwrap())))
}

impl Network for ZImage {
    fn parameters(&self) -> Params<Init> {
        self.0.parameters()
    }

    fn out<'t>(&self, params: &Params<Tensor<'t>>, inputs: &Inputs<'t>) -> Tensor<'t> {
        let (time, target) = (inputs["timestep"], inputs.get("target").copied());
        // In f64, so that 1 - t gives the library's time back to the bit.
        let t = if target.is_some() { time } else { 1.0 - time.convert(DType::F64) };
        let input = DenoiserInput {
            x: inputs["hidden_states"].transpose(&[0, 2, 3, 1]),
            t,
            r: target.unwrap_or(t),
            condition: Condition {
                text: Some(inputs["encoder_hidden_states"]),
                text_mask: Some(inputs["mask"]),
                ..Condition::default()
            },
        };
        let velocity = self.0.velocity(params, &input).transpose(&[0, 3, 1, 2]);
        if target.is_some() { velocity } else { -velocity }
    }
}
