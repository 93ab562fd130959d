//! Published networks at their real sizes: every tensor of the library's file by name and shape, and no other. No array
//! is made.

use std::{collections::BTreeMap, fs};

use serde_json::Value;
use twinflow_array::{Place, Tree, leaves};
use twinflow_models::denoisers::{
    DataSpec, ModelConfig, QwenImage21Config, QwenImageConfig, SanaConfig, Sd3Config, TextSpec, ZImageConfig,
    ZImageTime,
};
use twinflow_nn::TargetTime;

/// Shapes by the tensors' names.
type Shapes = BTreeMap<String, Vec<usize>>;

/// Files, the networks that they describe and the data that those are built for.
fn published() -> Vec<(&'static str, ModelConfig, DataSpec)> {
    let text =
        |sample, tokens, width| DataSpec { text: Some(TextSpec { tokens, width }), ..DataSpec::labelled(sample, 0) };
    let sana = SanaConfig { target_time: TargetTime::Ignored, ..SanaConfig::default() };
    let sana_1600m = SanaConfig { width: 2240, depth: 20, heads: 70, cross_heads: 20, ..sana.clone() };
    let qwen_image = QwenImageConfig { target_time: TargetTime::Ignored, ..QwenImageConfig::default() };
    let qwen_image_21 = QwenImage21Config { target_time: TargetTime::Ignored, ..QwenImage21Config::default() };
    let sd3 = Sd3Config { target_time: TargetTime::Ignored, ..Sd3Config::default() };
    let z_image = ZImageConfig { target_time: ZImageTime::Ignored, ..ZImageConfig::default() };
    vec![
        ("qwen_image", ModelConfig::QwenImage(qwen_image), text([128, 128, 16], 512, 3584)),
        ("qwen_image_21", ModelConfig::QwenImage21(qwen_image_21), text([64, 64, 64], 512, 4096)),
        ("sana_600m", ModelConfig::Sana(sana), text([32, 32, 32], 300, 2304)),
        ("sana_1600m", ModelConfig::Sana(sana_1600m), text([32, 32, 32], 300, 2304)),
        ("sd35_medium", ModelConfig::Sd3(sd3), text([128, 128, 16], 333, 4096)),
        ("z_image", ModelConfig::ZImage(z_image), text([128, 128, 16], 512, 2560)),
    ]
}

#[test]
fn real_sizes_have_the_published_tensors() {
    for (name, model, data) in published() {
        let path = crate::golden(&format!("models/shapes/{name}.json"));
        let file: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let expected: Shapes = serde_json::from_value(file["tensors"].clone()).unwrap();
        let parameters = model.build(data).unwrap().parameters();
        let spec = parameters.spec();
        let mut ours = Shapes::new();
        spec.visit(&Place::root(), &mut |place, ty| {
            let tensors = place.external_types(ty).unwrap();
            ours.extend(tensors.into_iter().map(|(tensor, ty)| (tensor, ty.shape.to_vec())));
        });
        let unlike = |these: &Shapes, those: &Shapes| -> Vec<String> {
            let others = these.iter().filter(|(tensor, shape)| those.get(*tensor) != Some(shape));
            others.map(|(tensor, shape)| format!("{tensor} {shape:?}")).collect()
        };
        let (missing, more) = (unlike(&expected, &ours), unlike(&ours, &expected));
        assert!(missing.is_empty() && more.is_empty(), "{name}\nmissing: {missing:#?}\nours: {more:#?}");
        // The library does not count stored tables.
        let trained = leaves(&parameters).into_iter().filter(|init| !init.is_fixed());
        let count: usize = trained.map(|init| init.ty().shape.elements()).sum();
        assert_eq!(Value::from(count), file["parameters"], "{name}");
    }
}
