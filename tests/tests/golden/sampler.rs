//! Trajectories of the sampler.

use hdf5_metno::Group;
use serde_json::Value;
use twinflow_array::{HostArray, TensorType};
use twinflow_methods::flow::{Noise, SampleConfig, sample};
use twinflow_nn::Params;

use crate::{
    file,
    network::{self, GoldenNetwork},
    run::Compiled,
    tolerance::{Tolerance, assert_near},
};

#[test]
fn golden_sampler_trajectories() {
    let file = file::open("TWINFLOW_GOLDEN_SAMPLER", "twinflow_sampler.h5");
    let params = file::params(&file.group("params").unwrap());
    let cases: Vec<String> = file::names(&file).into_iter().filter(|name| name != "params").collect();
    assert!(!cases.is_empty(), "the file holds no case");
    for name in cases {
        compare_trajectory(&name, &file.group(&name).unwrap(), &params);
    }
}

fn compare_trajectory(name: &str, case: &Group, params: &Params<HostArray>) {
    let config: SampleConfig = serde_json::from_value(Value::Object(file::options(case))).unwrap();
    config.validate().unwrap();
    let (z, condition) = (file::required(case, "z"), file::required(case, "c"));
    let noise = noise(case, config.nfe, z.ty());
    let inputs = (params.clone(), vec![z, condition, noise]);
    let compiled = Compiled::new(&inputs, |_, (params, inputs)| {
        let [z, condition, noise] = inputs[..] else { unreachable!("three inputs") };
        let samples =
            sample(&GoldenNetwork, &config, &params, z, &network::condition(condition).into(), Noise::Given(noise));
        vec![samples.trajectory, samples.last]
    });
    let outputs = compiled.run(&inputs);
    let golden = file::required(case, "samples");
    let rows = golden.to_f64().chunks(inputs.1[0].ty().shape.elements()).map(<[f64]>::to_vec).collect::<Vec<_>>();
    let golden_last = HostArray::from_f64(outputs[1].ty().clone(), rows.last().unwrap()).unwrap();
    let golden_trajectory = HostArray::from_f64(outputs[0].ty().clone(), &rows[1..].concat()).unwrap();
    assert_near(&format!("{name}: trajectory"), &outputs[0], &golden_trajectory, Tolerance::Forward);
    assert_near(&format!("{name}: samples"), &outputs[1], &golden_last, Tolerance::Forward);
}

/// The noise of each step, [steps, b, ..]; zero where the case needs none.
fn noise(case: &Group, steps: usize, sample: &TensorType) -> HostArray {
    let of_step = |step: usize| {
        let group = case.group("noise").ok()?;
        file::array(&group, &step.to_string())
    };
    let values: Vec<f64> = (0..steps)
        .flat_map(|step| of_step(step).map_or(vec![0.0; sample.shape.elements()], |noise| noise.to_f64()))
        .collect();
    let shape: Vec<usize> = [&[steps], sample.shape.dims()].concat();
    HostArray::from_f64(TensorType::f32(shape), &values).unwrap()
}
