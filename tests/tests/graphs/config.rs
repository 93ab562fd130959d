//! Configuration files and their errors.

use twinflow_methods::{
    flow::SampleConfig,
    flow_matching::FlowConfig,
    twinflow::{LossKind, TeacherKind, TwinFlowConfig},
};
use twinflow_models::denoisers::{DataSpec, ModelConfig};
use twinflow_training::optim::OptimizerConfig;

const DATA: DataSpec = DataSpec::labelled([28, 28, 1], 10);

fn build_error(text: &str) -> String {
    let config: ModelConfig = toml::from_str(text).unwrap();
    config.build(DATA).err().expect("must be refused").to_string()
}

#[test]
fn models_name_the_key_that_does_not_fit() {
    let heads = build_error("kind = 'dit'\nwidth = 96\nheads = 5");
    assert_eq!(heads, "model.width = 96 must be a multiple of model.heads = 5");
    let patch = build_error("kind = 'dit'\npatch = 5");
    assert_eq!(patch, "data.height = 28 must be a multiple of model.patch = 5");
    assert_eq!(build_error("kind = 'mlp'\nwidth = 0"), "model.width = 0 is not allowed: at least 1");
    let groups = build_error("kind = 'unet'\nchannels = 64\ngroups = 5");
    assert_eq!(groups, "model.channels = 64 must be a multiple of model.groups = 5");
    let levels = build_error("kind = 'unet'\nmultipliers = [1, 2, 4, 8]");
    assert!(levels.starts_with("data.height = 28 must be a multiple of the halvings"), "{levels}");
    let allowed = "2 to 16 numbers, each at least 1";
    assert_eq!(
        build_error("kind = 'unet'\nmultipliers = [1]"),
        format!("model.multipliers = [1] is not allowed: {allowed}")
    );
}

#[test]
fn unknown_keys_and_kinds_are_errors() {
    assert!(toml::from_str::<ModelConfig>("kind = 'dit'\nwidht = 96").is_err());
    assert!(toml::from_str::<ModelConfig>("kind = 'gan'").is_err());
    assert!(toml::from_str::<OptimizerConfig>("kind = 'lion'").is_err());
    assert!(toml::from_str::<FlowConfig>("step = 3").is_err());
}

#[test]
fn public_names_are_aliases() {
    let config: TwinFlowConfig = toml::from_str(
        "estimate_order = 1\nconsistc_ratio = 0.5\nenhanced_ratio = 0.0\nenhanced_range = [0.2, 0.7]\n\
         time_dist_ctrl = [0.8, 1.0, 1.0]\nloss_func_type = 'l2'\ndist_match_cof = 1.0\nema_decay_rate = 0.9\n\
         use_image_free = true\nteacher = 'self'\nlambda = 0.3",
    )
    .unwrap();
    config.validate().unwrap();
    assert_eq!((config.order, config.loss, config.teacher), (1, LossKind::L2, TeacherKind::Live));
    assert!((config.part_shares().mul - 0.35).abs() < 1e-12 && config.image_free);
    let sample: SampleConfig =
        toml::from_str("sampling_steps = 4\nsampling_style = 'any'\nrfba_gap_steps = [0.001, 0.5]").unwrap();
    assert_eq!((sample.nfe, sample.gaps), (4, [0.001, 0.5]));
}

#[test]
fn the_whole_batch_variant_has_no_parts() {
    let error = |text: &str| {
        let config: TwinFlowConfig = toml::from_str(text).unwrap();
        config.validate().unwrap_err().to_string()
    };
    let message = error("variant = 'whole_batch'\nlambda = 0.5");
    assert!(message.starts_with("twinflow.lambda and twinflow.variant = \"whole_batch\" exclude"), "{message}");
    let message = error("variant = 'whole_batch'\norder = 0");
    assert_eq!(message, "twinflow.order = 0 is not allowed: 1 to 3 with variant = \"whole_batch\"");
}

#[test]
fn image_free_training_needs_the_teachers_velocity() {
    let config: TwinFlowConfig = toml::from_str("image_free = true\nteacher = 'frozen'\nguidance = 0.0").unwrap();
    let message = config.validate().unwrap_err().to_string();
    assert!(message.starts_with("twinflow.guidance = 0.0 is not allowed: not 0 for image_free"), "{message}");
}

#[test]
fn a_configuration_survives_its_own_text() {
    let model: ModelConfig = toml::from_str(&toml::to_string(&ModelConfig::default()).unwrap()).unwrap();
    assert_eq!(model, ModelConfig::default());
    let twinflow: TwinFlowConfig = toml::from_str(&toml::to_string(&TwinFlowConfig::default()).unwrap()).unwrap();
    assert_eq!(twinflow, TwinFlowConfig::default());
}

#[test]
fn second_order_refuses_what_it_cannot_do() {
    let error = |text: &str| {
        let config: SampleConfig = toml::from_str(text).unwrap();
        config.validate().unwrap_err().to_string()
    };
    assert!(error("second_order = true\nnfe = 4").starts_with("sample.second_order and sample.style exclude"));
    assert!(error("second_order = true\nstyle = 'mul'\nnfe = 5").starts_with("sample.nfe = 5 is not allowed: even"));
    assert!(error("gaps = [0.6, 0.5]").starts_with("sample.gaps = [0.6, 0.5] is not allowed"));
}
