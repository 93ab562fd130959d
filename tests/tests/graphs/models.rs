//! Networks: their gradients against central differences, and what they see.

use twinflow_array::{DType, HostArray, TensorType, Tree, leaves, paths};
use twinflow_compiler::{Tensor, grad};
use twinflow_models::denoisers::{
    DataSpec, DitConfig, MlpConfig, ModelConfig, QwenImage, QwenImage21Config, QwenImageConfig, ReferenceSlots, Remat,
    SanaConfig, Sd3Config, TextSpec, UnetConfig, ZImageConfig, ZImageTime,
};
use twinflow_models::encoders::{LearntConfig, TextEncoderConfig, TokenSpec};
use twinflow_nn::{Condition, Denoiser, DenoiserInput, Params, TargetTime, TimeSign};

const SAMPLES: usize = 2;
const CLASSES: usize = 3;
const DATA: DataSpec =
    DataSpec { text: Some(TextSpec { tokens: 3, width: 4 }), ..DataSpec::labelled([4, 4, 1], CLASSES) };

fn networks() -> Vec<(&'static str, Box<dyn Denoiser>)> {
    let dit = DitConfig { width: 8, depth: 2, heads: 2, mlp_ratio: 2, patch: 2, qk_norm: true, ..Default::default() };
    let unet = UnetConfig { channels: 2, multipliers: vec![1, 2, 1], embedding: 8, groups: 0 };
    let norms = UnetConfig { channels: 4, multipliers: vec![1, 2], groups: 2, ..unet.clone() };
    let sana = SanaConfig {
        width: 8,
        depth: 2,
        heads: 2,
        cross_heads: 4,
        patch: 2,
        qk_norm: true,
        remat: Remat::Blocks,
        ..Default::default()
    };
    let halved = SanaConfig { target_time: TargetTime::Half, time_sign: TimeSign::Embedding, ..sana.clone() };
    let sd3 = Sd3Config {
        depth: 3,
        heads: 2,
        head_width: 4,
        dual_attention_layers: 1,
        qk_norm: false,
        pooled_width: 3,
        pos_embed_max_size: 4,
        sample_size: 4,
        remat: Remat::Blocks,
        ..Default::default()
    };
    let qwen_image_21 = QwenImage21Config {
        depth: 2,
        heads: 2,
        mlp_ratio: 1,
        axes_dims_rope: [2; 3],
        target_time: TargetTime::Difference,
        time_sign: TimeSign::Embedding,
        remat: Remat::Blocks,
        references: vec![ReferenceSlots { at: 1, height: 2, width: 2 }],
    };
    let z_image = ZImageConfig {
        depth: 2,
        refiner_depth: 1,
        heads: 1,
        axes_dims_rope: [2; 3],
        time_hidden: 4,
        target_time: ZImageTime::Difference,
        time_sign: TimeSign::Signed,
        remat: Remat::Blocks,
    };
    let models = [
        ("dit", ModelConfig::Dit(dit)),
        ("mlp", ModelConfig::Mlp(MlpConfig { width: 4, depth: 2, ..Default::default() })),
        ("qwen_image", ModelConfig::QwenImage(qwen_image())),
        ("qwen_image_21", ModelConfig::QwenImage21(qwen_image_21)),
        ("sana", ModelConfig::Sana(sana)),
        ("sana with half of r and a row for the sign", ModelConfig::Sana(halved)),
        ("sd3 with a row for the sign", ModelConfig::Sd3(Sd3Config { time_sign: TimeSign::Embedding, ..sd3.clone() })),
        ("sd3", ModelConfig::Sd3(sd3)),
        ("unet", ModelConfig::Unet(unet)),
        ("unet with norms", ModelConfig::Unet(norms)),
        (
            "z_image with a row for the sign",
            ModelConfig::ZImage(ZImageConfig { time_sign: TimeSign::Embedding, ..z_image.clone() }),
        ),
        ("z_image", ModelConfig::ZImage(z_image)),
    ];
    let mut networks: Vec<_> = models.into_iter().map(|(name, model)| (name, model.build(DATA).unwrap())).collect();
    networks.push(("sd3 behind a text encoder", prompted(2)));
    networks
}

/// A network that reads tokens, by an encoder of so many blocks.
fn prompted(depth: usize) -> Box<dyn Denoiser> {
    let sd3 = Sd3Config {
        depth: 2,
        heads: 2,
        head_width: 4,
        dual_attention_layers: 0,
        qk_norm: false,
        pooled_width: 3,
        pos_embed_max_size: 4,
        sample_size: 4,
        ..Default::default()
    };
    let encoder = TextEncoderConfig::Learnt(LearntConfig { width: 4, depth, heads: 2 });
    let data = DataSpec { text: None, tokens: Some(TokenSpec { tokens: 3, vocabulary: 5 }), ..DATA };
    ModelConfig::Sd3(sd3).build_behind(&encoder, data).unwrap()
}

fn qwen_image() -> QwenImageConfig {
    QwenImageConfig { depth: 2, heads: 2, axes_dims_rope: [2, 2, 2], remat: Remat::Blocks, ..Default::default() }
}

/// Parameters away from zero: layers that start at zero hide what lies before them.
fn params(network: &dyn Denoiser) -> Params<HostArray> {
    crate::support::noise(&network.parameters().spec(), 1.0)
}

/// Samples, t, r.
fn inputs() -> Vec<HostArray> {
    let times = |values: [f32; SAMPLES]| HostArray::from_slice([SAMPLES], &values).unwrap();
    vec![crate::support::noise(&TensorType::f32([SAMPLES, 4, 4, 1]), 2.0), times([0.7, -0.4]), times([0.2, -0.4])]
}

/// What the network reads: classes, or prompts of which the second has a token less.
fn condition(network: &dyn Denoiser) -> Condition<HostArray> {
    let types = network.condition().with_leading(&[SAMPLES]);
    let mut condition = crate::support::noise(&types, 3.0);
    condition.labels = types.labels.map(|ty| HostArray::from_slice(ty.shape, &[0, 2]).unwrap());
    condition.tokens = types.tokens.map(|ty| HostArray::from_slice(ty.shape, &[0, 4, 2, 1, 3, 4]).unwrap());
    condition.text_mask = types.text_mask.map(|ty| HostArray::from_slice(ty.shape, &[1, 1, 1, 1, 1, 0]).unwrap());
    condition
}

/// A sum of the velocity's elements with a weight of its own each.
fn scalar<'t>(
    network: &dyn Denoiser,
    params: &Params<Tensor<'t>>,
    x: &[Tensor<'t>],
    condition: Condition<Tensor<'t>>,
) -> Tensor<'t> {
    let velocity = network.velocity(params, &DenoiserInput { x: x[0], t: x[1], r: x[2], condition });
    let places = velocity.trace().iota(TensorType::new(DType::F32, [velocity.shape().elements()]), 0);
    ((places * 1.3).sin().reshape(velocity.shape()) * velocity).sum_all()
}

#[test]
fn gradients_agree_with_central_differences() {
    const STEP: f64 = 1e-6;
    for (name, network) in networks() {
        let network = network.as_ref();
        let of = (params(network), inputs());
        let condition = condition(network);
        let gradients = crate::support::run(&(of.clone(), condition.clone()), |_, (of, condition)| {
            let gradient = grad(&of, |(params, x)| scalar(network, &params, &x, condition.clone()));
            leaves(&gradient).into_iter().copied().collect()
        });
        // A direction in each leaf alone, so that none hides behind the others.
        for (leaf, gradient) in gradients.iter().enumerate() {
            let direction = crate::support::noise(leaves(&of)[leaf].ty(), 5.0).to_f64_array();
            let at = |step: f64| {
                let inputs = (of.clone(), condition.clone());
                let mut values: Vec<_> = leaves(&inputs).into_iter().map(HostArray::to_f64_array).collect();
                values[leaf] += &(step * &direction);
                let outputs = crate::support::run_unrounded(&inputs, &values, |_, ((params, x), condition)| {
                    vec![scalar(network, &params, &x, condition)]
                });
                outputs[0].sum()
            };
            let slope = |step: f64| (at(step) - at(-step)) / (2.0 * step);
            let analytic: f64 = gradient.iter().zip(&direction).map(|(slope, along)| slope * along).sum();
            let size: f64 = gradient.iter().zip(&direction).map(|(slope, along)| (slope * along).abs()).sum();
            assert!(size > 0.0, "{name}: {} has no gradient", paths(&of)[leaf]);
            let agrees = |numeric: f64| (analytic - numeric).abs() < 1e-6 * size;
            if agrees(slope(STEP)) {
                continue;
            }
            // A short step shows the last bits of both values, a long one the error of second order, which is taken out
            // (Richardson). t and r, the last two leaves, are embedded in thousandths.
            let step = if leaf + 2 >= gradients.len() { STEP } else { 1e3 * STEP };
            let numeric = (4.0 * slope(step / 2.0) - slope(step)) / 3.0;
            assert!(agrees(numeric), "{name}, leaf {leaf}: {analytic}, {numeric}");
        }
    }
}

#[test]
fn networks_see_the_sign_of_t_the_target_time_and_the_condition() {
    for (name, network) in networks() {
        let network = network.as_ref();
        let none = network.condition().with_leading(&[SAMPLES]).null(CLASSES);
        let of = (params(network), inputs(), vec![condition(network), none]);
        let outputs = crate::support::run(&of, |_, (params, x, given)| {
            let of = |t, r, condition: &Condition<_>| {
                network.velocity(&params, &DenoiserInput { x: x[0], t, r, condition: condition.clone() })
            };
            let (t, r, given, none) = (x[1], x[2], &given[0], &given[1]);
            vec![of(t, r, given), of(-t, r, given), of(t, -r, given), of(t, r, none)]
        });
        assert_eq!(outputs[0].shape(), [SAMPLES, 4, 4, 1]);
        for (what, output) in ["the sign of t", "r", "the condition"].iter().zip(&outputs[1..]) {
            let change = (output - &outputs[0]).mapv(f64::abs).fold(0.0, |max: f64, value| max.max(*value));
            assert!(change > 1e-3, "{name} does not see {what}: {change}");
        }
    }
}

#[test]
fn reference_pictures_may_be_modulated_with_the_time_zero() {
    let build = |zero_cond_t| QwenImageConfig { zero_cond_t, ..qwen_image() }.build(DATA).unwrap();
    let [same, zero] = [build(false), build(true)];
    let mut given = condition(&same);
    given.references = vec![crate::support::noise(&TensorType::f32([SAMPLES, 2, 6, 1]), 4.0)];
    let outputs = crate::support::run(&(params(&same), inputs(), given), |_, (params, x, given)| {
        let of = |network: &QwenImage, t, r| {
            network.token_velocities(&params, &DenoiserInput { x: x[0], t, r, condition: given.clone() })
        };
        let now = x[1].zeros_like();
        vec![of(&same, now, now), of(&zero, now, now), of(&same, x[1], x[2]), of(&zero, x[1], x[2])]
    });
    // 2 x 2 patches of the sample, 1 x 3 of the reference.
    assert_eq!(outputs[0].shape(), [SAMPLES, 7, 4]);
    let change = |a: usize, b: usize| (&outputs[a] - &outputs[b]).mapv(f64::abs).sum();
    assert!(change(0, 1) < 1e-9 && change(2, 3) > 1e-3, "{} {}", change(0, 1), change(2, 3));
}

#[test]
fn the_target_times_embedding_starts_as_a_copy_in_qwen_image() {
    let start = qwen_image().build(DATA).unwrap().parameters().sample(5);
    let leaf = |name: &str| {
        let at = start.paths().position(|path| path.as_str() == name).unwrap();
        start.leaves()[at].clone()
    };
    for part in ["linear_1/weight", "linear_1/bias", "linear_2/weight", "linear_2/bias"] {
        assert_eq!(leaf(&format!("times/target_time/{part}")), leaf(&format!("times/time/{part}")));
    }
    assert_ne!(leaf("times/time/linear_1/bias"), leaf("times/time/linear_2/bias"));
}

#[test]
fn the_tutorials_unet_has_its_size() {
    let data = DataSpec::labelled([28, 28, 1], 10);
    let network = ModelConfig::Unet(UnetConfig::default()).build(data).unwrap();
    let spec = network.parameters().spec();
    let mut sizes = std::collections::BTreeMap::<String, usize>::new();
    spec.visit(&Default::default(), &mut |place, ty| {
        let part = place.path().as_str().split('/').next().unwrap_or_default().to_owned();
        *sizes.entry(part).or_default() += ty.shape.elements();
    });
    // 3 x 3 from 1 and 4 x 4; 3 x 3 to 128 and 4 x 4.
    let down = 9 * 64 + 64 + 16 * 64 * 64 + 64 + 9 * 64 * 128 + 128 + 16 * 128 * 128 + 128;
    // 4 x 4 from 256 + 128 and 3 x 3; 4 x 4 from 128 + 64 and 3 x 3.
    let up = 16 * 384 * 128 + 128 + 9 * 128 * 128 + 128 + 16 * 192 * 64 + 64 + 9 * 64 * 64 + 64;
    let told = 2 * (64 + 64 + 64 * 64 + 64) + 11 * 64 + 192 * 256 + 256;
    let expected =
        [("down", down), ("middle", 9 * 128 * 256 + 256), ("output", 9 * 64 + 1), ("told", told), ("up", up)];
    assert_eq!(sizes.into_iter().collect::<Vec<_>>(), expected.map(|(part, size)| (part.to_owned(), size)));
}

#[test]
fn padding_of_a_prompt_is_not_read_and_everything_else_is() {
    let network = prompted(1);
    let velocity = |tokens: [i32; 6]| {
        let mut condition = condition(network.as_ref());
        condition.tokens = Some(HostArray::from_slice([SAMPLES, 3], &tokens).unwrap());
        let inputs = ((params(network.as_ref()), inputs()), condition);
        let outputs = crate::support::run(&inputs, |_, ((params, x), condition)| {
            vec![network.velocity(&params, &DenoiserInput { x: x[0], t: x[1], r: x[2], condition })]
        });
        outputs[0].iter().copied().collect::<Vec<_>>()
    };
    let of = velocity([0, 4, 2, 1, 3, 4]);
    assert_eq!(of, velocity([0, 4, 2, 1, 3, 0]), "the last token of the second prompt is padding");
    for (place, other) in [(0, [1, 4, 2, 1, 3, 4]), (2, [0, 4, 3, 1, 3, 4]), (4, [0, 4, 2, 1, 0, 4])] {
        let changed = velocity(other);
        let half = of.len() / 2;
        let of_sample = |values: &[f64], sample: usize| values[sample * half..(sample + 1) * half].to_vec();
        let (read, kept) = (place / 3, 1 - place / 3);
        assert_ne!(of_sample(&of, read), of_sample(&changed, read), "token {place}");
        assert_eq!(of_sample(&of, kept), of_sample(&changed, kept), "token {place} of the other prompt");
    }
}

#[test]
fn an_encoder_s_parameters_stand_beside_those_of_the_network() {
    let spec = prompted(1).parameters().spec();
    let names: Vec<String> = paths(&spec).iter().map(ToString::to_string).collect();
    let (encoder, network): (Vec<_>, Vec<_>) = names.iter().partition(|name| name.starts_with("text_encoder/"));
    assert!(encoder.contains(&&"text_encoder/tokens/table".to_owned()), "{encoder:?}");
    assert!(network.iter().any(|name| name.starts_with("blocks/")), "{network:?}");
}
