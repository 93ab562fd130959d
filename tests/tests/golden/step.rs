//! Whole TwinFlow steps: two per case, with a step of gradient descent and the teacher's update between.

use std::thread;

use hdf5_metno::Group;
use serde_json::{Map, Value, json};
use twinflow_array::{HostArray, paths};
use twinflow_compiler::{Tensor, value_and_grad};
use twinflow_methods::{
    moving_average,
    twinflow::{
        Intermediates, LossTerms, Parts, RectifyDraws, Shares, Teacher, TeacherDecay, TeacherKind, TwinFlowConfig,
        TwinFlowDraws, TwinFlowLoss,
    },
};
use twinflow_nn::Params;

use crate::{
    file,
    network::{GoldenNetwork, condition},
    run::Compiled,
    tolerance::{Tolerance, assert_near},
};

/// The rate of the gradient descent between the steps.
const LEARNING_RATE: f64 = 0.1;

#[test]
fn golden_steps() {
    let file = file::open("TWINFLOW_GOLDEN_STEP", "twinflow_step.h5");
    let cases: Vec<Case> = file::names(&file).iter().map(|name| Case::read(name, &file.group(name).unwrap())).collect();
    assert!(!cases.is_empty(), "the file holds no case");
    // Compiling is what takes the time, and plugins compile in parallel.
    thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| case.compare());
        }
    });
}

/// The parameters, the teacher's, and how much of itself the teacher keeps.
type Training<P, L> = ((P, P), L);

/// A step's inputs: where the training stands; x, c, e; the random numbers.
type StepInputs = (Training<Params<HostArray>, HostArray>, Vec<HostArray>, TwinFlowDraws<HostArray>);

/// A case: its options, first parameters and steps.
struct Case {
    name: String,
    group: Group,
    config: TwinFlowConfig,
    params: Params<HostArray>,
}

impl Case {
    fn read(name: &str, group: &Group) -> Self {
        let config = config(file::options(group));
        config.validate().unwrap();
        let params = file::params(&group.group("params").unwrap());
        Case { name: name.to_owned(), group: group.clone(), config, params }
    }

    fn compare(self) {
        let decay = TeacherDecay::new(&self.config).map_or(0.0, TeacherDecay::first);
        let mut training = ((self.params.clone(), self.params.clone()), HostArray::scalar(decay as f32));
        let mut compiled = None;
        let mut number = 0;
        while let Ok(step) = self.group.group(&format!("step{number}")) {
            let name = format!("{}/step{number}", self.name);
            self.compare_teacher(&name, &step, &training);
            let parts = Parts::by_public_rounding(Shares::default(), file::required(&step, "x").shape()[0]);
            let batch = ["x", "c", "e"].map(|name| file::required(&step, name)).to_vec();
            let inputs = (training, batch, draws(&step, &parts, &self.config));
            let (names, compiled) = compiled.get_or_insert_with(|| self.compile(&inputs, parts));
            let mut outputs = compiled.run(&inputs);
            training = take_training(&inputs.0, &mut outputs);
            compare_step(&name, &step, names, &outputs);
            number += 1;
        }
        assert!(number > 0, "{} holds no step", self.name);
    }

    /// The public code updates its teacher after the main pass of a step, which is before our step begins.
    fn compare_teacher(&self, name: &str, step: &Group, training: &Training<Params<HostArray>, HostArray>) {
        let ((params, teacher), decay) = training;
        let Ok(golden) = step.group("ema_after") else { return };
        let held = if self.config.teacher == TeacherKind::Live { params } else { teacher };
        for (path, (actual, expected)) in
            paths(held).iter().zip(held.leaves().iter().zip(file::params(&golden).leaves()))
        {
            assert_near(&format!("{name}: ema_after/{path}"), actual, expected, Tolerance::Forward);
        }
        if let Ok(golden) = step.attr("ema_decay_next") {
            let golden = HostArray::scalar(golden.read_scalar::<f64>().unwrap() as f32);
            assert_near(&format!("{name}: ema_decay_next"), decay, &golden, Tolerance::Forward);
        }
    }

    /// The step as a program, and the names of what it gives before the next state of the training.
    fn compile(&self, inputs: &StepInputs, parts: Parts) -> (Vec<String>, Compiled) {
        let loss = TwinFlowLoss { denoiser: &GoldenNetwork, config: &self.config, parts };
        let mut names = Vec::new();
        let compiled = Compiled::new(inputs, |_, (((params, teacher), decay), batch, draws)| {
            let used = match self.config.teacher {
                TeacherKind::Live => Teacher::Live,
                TeacherKind::Ema => Teacher::Average(&teacher),
                TeacherKind::Frozen => Teacher::Frozen(&teacher),
            };
            let ((_, seen), gradients) = value_and_grad(&params, |params: Params<Tensor<'_>>| {
                let conditions = (&condition(batch[1]), &condition(batch[2]));
                let (terms, seen) = loss.of_batch(&params, used, batch[0], conditions, &draws);
                (terms.total(), named(&terms, &seen))
            });
            let gradient_names = paths(&gradients).into_iter().map(|path| format!("grads/{path}"));
            names = seen.iter().map(|(name, _)| (*name).to_owned()).chain(gradient_names).collect();
            let seen = seen.into_iter().map(|(_, tensor)| tensor);
            let params = params.zip_map(&gradients, |param, gradient| *param - *gradient * LEARNING_RATE);
            let (teacher, decay) = match TeacherDecay::new(&self.config) {
                Some(teacher_decay) => (moving_average(&teacher, &params, decay), teacher_decay.next(decay)),
                None => (teacher, decay),
            };
            let next = [params.leaves(), teacher.leaves(), &[decay]].concat();
            seen.chain(gradients.leaves().iter().copied()).chain(next).collect()
        });
        (names, compiled)
    }
}

/// What the files hold of a step, under their names.
fn named<'t>(terms: &LossTerms<Tensor<'t>>, seen: &Intermediates<Tensor<'t>>) -> Vec<(&'static str, Tensor<'t>)> {
    let all = [
        ("loss", Some(terms.total())),
        ("x_t", Some(seen.x_t)),
        ("t", Some(seen.t)),
        ("r", Some(seen.r)),
        ("F", Some(seen.prediction)),
        ("v", Some(seen.velocity)),
        ("guided_v", Some(seen.guided_velocity)),
        ("rcgm_target", seen.rcgm_target),
        ("x_fake", seen.clean_estimate),
        ("minus_delta_v", seen.velocity_difference.map(|difference| -difference)),
    ];
    all.into_iter().filter_map(|(name, tensor)| Some((name, tensor?))).collect()
}

/// The next state of the training, taken from the end of a step's outputs.
fn take_training(
    before: &Training<Params<HostArray>, HostArray>,
    outputs: &mut Vec<HostArray>,
) -> Training<Params<HostArray>, HostArray> {
    let params = &before.0.0;
    let count = params.leaves().len();
    let mut next = outputs.split_off(outputs.len() - 2 * count - 1);
    let decay = next.remove(2 * count);
    ((params.with_leaves(next.drain(..count)), params.with_leaves(next)), decay)
}

/// Compares everything that the step holds.
fn compare_step(name: &str, step: &Group, names: &[String], outputs: &[HostArray]) {
    for (tensor, actual) in names.iter().zip(outputs) {
        let derived = tensor == "rcgm_target" || tensor.starts_with("grads/");
        if let Some(expected) = file::array(step, tensor) {
            let tolerance = if derived { Tolerance::Derived } else { Tolerance::Forward };
            assert_near(&format!("{name}: {tensor}"), actual, &expected, tolerance);
        }
    }
    // What the file holds but the loss has no use for must be zero there.
    for tensor in file::names(step) {
        let is_input = ["x", "c", "e", "draws", "grads", "ema_after"].contains(&tensor.as_str());
        if !is_input && !names.contains(&tensor) {
            let values = file::required(step, &tensor).to_f64();
            assert!(values.iter().all(|value| *value == 0.0), "{name}: {tensor} is not computed");
        }
    }
}

/// The options under their public names, some of which say two things at once.
fn config(mut options: Map<String, Value>) -> TwinFlowConfig {
    if let Some(loss) = options.remove("loss_func_type") {
        options.insert("loss".into(), loss["type"].clone());
        if let Some(alpha) = loss.get("alpha") {
            options.insert("barron_alpha".into(), alpha.clone());
        }
    }
    let decay = options.get("ema_decay_rate").and_then(Value::as_f64);
    if decay == Some(0.0) || decay == Some(1.0) {
        options.remove("ema_decay_rate");
        options.insert("teacher".into(), json!(if decay == Some(0.0) { "self" } else { "frozen" }));
    }
    serde_json::from_value(Value::Object(options)).unwrap()
}

/// The file's random numbers, `draws/i_kind` in the order of their use.
fn draws(step: &Group, parts: &Parts, config: &TwinFlowConfig) -> TwinFlowDraws<HostArray> {
    let group = step.group("draws").unwrap();
    let mut names = file::names(&group);
    names.sort_by_key(|name| name.split('_').next().and_then(|number| number.parse::<usize>().ok()));
    // An empty adv part may have left an empty draw.
    let drawn = names.into_iter().map(|name| (file::required(&group, &name), name));
    let drawn: Vec<_> = drawn.filter(|(draw, _)| draw.shape().elements() > 0).collect();
    let rectifies = drawn.len() > 4 + usize::from(config.image_free) + usize::from(parts.adv > 0);
    let mut drawn = drawn.into_iter();
    let mut next = |kind: &str| {
        let (draw, name) = drawn.next().unwrap_or_else(|| panic!("draws end before a {kind} draw"));
        assert!(name.ends_with(kind), "draw {name} is not {kind}");
        draw
    };
    let column = |draw: HostArray| {
        let rows = draw.shape()[0];
        draw.reshape([rows]).unwrap()
    };
    TwinFlowDraws {
        time: column(next("beta")),
        any_target: column(next("uniform")),
        mul_target: column(next("uniform")),
        image_free: config.image_free.then(|| next("normal")),
        fake: (parts.adv > 0).then(|| next("normal")),
        noise: next("normal"),
        rectify: rectifies.then(|| RectifyDraws { noise: next("normal"), time: column(next("beta")) }),
    }
}
