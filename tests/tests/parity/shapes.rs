//! Published networks at their real sizes: every tensor of the library's file by name and shape, and no other. No array
//! is made.

use std::{collections::BTreeMap, fs};

use serde_json::Value;
use twinflow_array::{Place, Tree};
use twinflow_models::denoisers::{DataSpec, ModelConfig, QwenImage21Config, TextSpec, ZImageConfig};

/// Shapes by the tensors' names.
type Shapes = BTreeMap<String, Vec<usize>>;

/// Files, the networks that they describe and the data that those are built for.
fn published() -> Vec<(&'static str, ModelConfig, DataSpec)> {
    let text = |sample, tokens, width| DataSpec { sample, classes: 0, text: Some(TextSpec { tokens, width }) };
    vec![
        ("qwen_image_21", ModelConfig::QwenImage21(QwenImage21Config::default()), text([64, 64, 64], 512, 4096)),
        ("z_image", ModelConfig::ZImage(ZImageConfig::default()), text([128, 128, 16], 512, 2560)),
    ]
}

#[test]
fn real_sizes_have_the_published_tensors() {
    for (name, model, data) in published() {
        let path = crate::golden(&format!("models/shapes/{name}.json"));
        let file: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let expected: Shapes = serde_json::from_value(file["tensors"].clone()).unwrap();
        let spec = model.build(data).unwrap().parameters().spec();
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
        assert_eq!(Value::from(spec.count()), file["parameters"], "{name}");
    }
}
