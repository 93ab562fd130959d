//! The sampler on velocity fields whose flow is known.

use twinflow_array::{DType, HostArray, TensorType};
use twinflow_compiler::{Key, Tensor};
use twinflow_methods::flow::{Guided, Noise, SampleConfig, SampleStyle, sample};
use twinflow_nn::{Condition, Denoiser, DenoiserInput, Init, Params};

/// dx/dt = t x, so x(r) = x(t) exp((r^2 - t^2) / 2); its average velocity from t to r is known too.
struct Field {
    average: bool,
}

impl Denoiser for Field {
    fn parameters(&self) -> Params<Init> {
        Params::from_tree(Init::zeros([1]))
    }

    fn velocity<'t>(&self, _: &Params<Tensor<'t>>, input: &DenoiserInput<Tensor<'t>>) -> Tensor<'t> {
        let (x, t, r) = (input.x, input.t.expand_dims(-1), input.r.expand_dims(-1));
        if self.average { x * (1.0 - ((r.square() - t.square()) / 2.0).exp()) / (t - r) } else { x * t }
    }
}

/// The end of the path that starts at x = 1, for one sample of one number.
fn end_of_path(field: &Field, config: &SampleConfig) -> f64 {
    config.validate().unwrap();
    let z = HostArray::from_slice([1, 1], &[1.0f32]).unwrap();
    let noise = HostArray::zeros(TensorType::f32([config.nfe, 1, 1]));
    let params = Params::from_tree(HostArray::zeros(TensorType::f32([1])));
    let outputs = crate::support::run(&(params, z, noise), |_, (params, z, noise)| {
        vec![sample(field, config, &params, z, &Condition::default().into(), Noise::Given(noise)).last]
    });
    outputs[0].sum()
}

const EXACT: f64 = 0.606_530_659_712_633_4; // exp(-1/2)

#[test]
fn heun_converges_by_second_order_and_euler_by_first() {
    let error = |nfe, second_order| {
        let config = SampleConfig { nfe, second_order, style: SampleStyle::Mul, ..Default::default() };
        (end_of_path(&Field { average: false }, &config) - EXACT).abs()
    };
    let order = |second_order| (error(64, second_order) / error(128, second_order)).log2();
    assert!((order(true) - 2.0).abs() < 0.1, "Heun's order is {}", order(true));
    assert!((order(false) - 1.0).abs() < 0.1, "Euler's order is {}", order(false));
    assert!(error(64, true) < error(64, false) / 20.0, "at equal cost");
}

#[test]
fn average_velocities_are_exact_in_any_number_of_steps() {
    for (nfe, style) in [(1, SampleStyle::Few), (1, SampleStyle::Any), (4, SampleStyle::Any)] {
        let config = SampleConfig { nfe, style, ..Default::default() };
        let end = end_of_path(&Field { average: true }, &config);
        assert!((end - EXACT).abs() < 1e-6, "{style:?} in {nfe}: {end}");
    }
}

#[test]
fn fresh_noise_depends_on_the_sample_number_alone() {
    let config = SampleConfig { nfe: 2, stochastic_ratio: 1.0, ..Default::default() };
    let params = Params::from_tree(HostArray::zeros(TensorType::f32([1])));
    let z = HostArray::from_slice([3, 1], &[1.0f32; 3]).unwrap();
    let rows = HostArray::from_slice([3], &[4u32, 9, 4]).unwrap();
    let key = HostArray::from_slice([2], &[1u32, 2]).unwrap();
    let outputs = crate::support::run(&(params, vec![z, rows, key]), |_, (params, inputs)| {
        let (z, noise) = (inputs[0], Noise::Drawn { key: Key::from_tensor(inputs[2]), rows: inputs[1] });
        assert_eq!(inputs[1].dtype(), DType::U32);
        vec![sample(&Field { average: false }, &config, &params, z, &Condition::default().into(), noise).last]
    });
    let values = outputs[0].as_slice().unwrap().to_vec();
    assert_eq!(values[0], values[2]);
    assert_ne!(values[0], values[1]);
}

/// The velocity is the sample's label.
struct Labelled;

impl Denoiser for Labelled {
    fn parameters(&self) -> Params<Init> {
        Params::from_tree(Init::zeros([1]))
    }

    fn velocity<'t>(&self, _: &Params<Tensor<'t>>, input: &DenoiserInput<Tensor<'t>>) -> Tensor<'t> {
        input.condition.labels_of(input.x).convert(DType::F32).expand_dims(1)
    }
}

#[test]
fn guidance_leads_away_from_no_condition() {
    let config = SampleConfig { guidance: 3.0, ..Default::default() };
    let params = Params::from_tree(HostArray::zeros(TensorType::f32([1])));
    let z = HostArray::from_slice([2, 1], &[10.0f32, 20.0]).unwrap();
    let (labels, null) =
        (HostArray::from_slice([2], &[1i32, 2]).unwrap(), HostArray::from_slice([1], &[5i32]).unwrap());
    let outputs = crate::support::run(&(params, vec![z, labels, null]), |_, (params, inputs)| {
        let [condition, null] = [inputs[1], inputs[2]].map(Condition::of_labels);
        let noise = Noise::Given(inputs[0].expand_dims(0));
        vec![sample(&Labelled, &config, &params, inputs[0], &Guided { condition, null }, noise).last]
    });
    // x = z - (v_null + g (v - v_null)) from t = 1 to 0.
    assert_eq!(outputs[0].as_slice().unwrap(), [10.0 - (5.0 - 12.0), 20.0 - (5.0 - 9.0)]);
}
