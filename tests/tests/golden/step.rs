//! Whole TwinFlow steps: two per case, with a step of gradient descent and the teacher's update between.

use hdf5_metno::Group;
use serde_json::{Map, Value, json};
use twinflow_array::{HostArray, paths};
use twinflow_graphs::{
    Params,
    optim::{Teaching, moving_average},
    twinflow::{Parts, RectifyDraws, Shares, Teacher, TeacherKind, TwinFlowConfig, TwinFlowDraws, TwinFlowLoss},
};

use crate::{
    file,
    network::GoldenNetwork,
    run::run,
    tolerance::{Tolerance, assert_near},
};

/// The rate of the gradient descent between the steps.
const LEARNING_RATE: f64 = 0.1;

#[test]
fn golden_steps() {
    let file = file::open("TWINFLOW_GOLDEN_STEP", "twinflow_step.h5");
    let cases = file::names(&file);
    assert!(!cases.is_empty(), "the file holds no case");
    for name in cases {
        Case::read(&name, &file.group(&name).unwrap()).compare();
    }
}

/// A case and where its training stands.
struct Case {
    name: String,
    group: Group,
    config: TwinFlowConfig,
    params: Params<HostArray>,
    teacher: Params<HostArray>,
    teacher_decay: f64,
}

impl Case {
    fn read(name: &str, group: &Group) -> Self {
        let config = config(file::options(group));
        config.validate().unwrap();
        let params = file::params(&group.group("params").unwrap());
        let teacher_decay = Teaching::new(&config).map_or(0.0, Teaching::first_decay);
        Case { name: name.to_owned(), group: group.clone(), config, teacher: params.clone(), params, teacher_decay }
    }

    fn compare(mut self) {
        let mut number = 0;
        while let Ok(step) = self.group.group(&format!("step{number}")) {
            let name = format!("{}/step{number}", self.name);
            self.compare_teacher(&name, &step);
            let gradients = self.compare_step(&name, &step);
            self.descend(&gradients);
            number += 1;
        }
        assert!(number > 0, "{} holds no step", self.name);
    }

    /// The public code updates its teacher after the main pass of a step, which is before our step begins.
    fn compare_teacher(&self, name: &str, step: &Group) {
        let Ok(golden) = step.group("ema_after") else { return };
        let golden = file::params(&golden);
        let held = match self.config.teacher {
            TeacherKind::Live => &self.params,
            TeacherKind::Ema | TeacherKind::Frozen => &self.teacher,
        };
        for (path, (actual, expected)) in paths(held).iter().zip(held.leaves().iter().zip(golden.leaves())) {
            assert_near(&format!("{name}: ema_after/{path}"), actual, expected, Tolerance::Forward);
        }
        if let Ok(decay) = step.attr("ema_decay_next") {
            let decay = decay.read_scalar::<f64>().unwrap();
            assert!((self.teacher_decay - decay).abs() < 1e-6, "{name}: decay {} for {decay}", self.teacher_decay);
        }
    }

    /// Compares everything that the step holds; gives the gradients.
    fn compare_step(&self, name: &str, step: &Group) -> Params<HostArray> {
        let samples = file::required(step, "x");
        let parts = Parts::by_public_rounding(Shares::default(), samples.shape()[0]);
        let draws = draws(step, &parts, &self.config);
        let batch = vec![samples, file::required(step, "c"), file::required(step, "e")];
        let inputs = ((self.params.clone(), self.teacher.clone()), batch, draws);
        let mut names = Vec::new();
        let outputs = run(&inputs, |((params, teacher), batch, draws)| {
            let loss = TwinFlowLoss { network: &GoldenNetwork, config: &self.config, parts };
            let teacher = match self.config.teacher {
                TeacherKind::Live => Teacher::Live,
                TeacherKind::Ema => Teacher::Average(&teacher),
                TeacherKind::Frozen => Teacher::Frozen(&teacher),
            };
            let ((_, (terms, seen)), gradients) =
                twinflow_compiler::value_and_grad(&params, |params: Params<twinflow_compiler::Tensor<'_>>| {
                    let (terms, seen) = loss.of_batch(&params, teacher, batch[0], (batch[1], batch[2]), &draws);
                    (terms.loss, (terms, seen))
                });
            let named = [
                ("loss", Some(terms.loss)),
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
            let present: Vec<_> = named.into_iter().filter_map(|(name, tensor)| Some((name, tensor?))).collect();
            names.extend(present.iter().map(|(name, _)| *name));
            present.into_iter().map(|(_, tensor)| tensor).chain(gradients.leaves().iter().copied()).collect()
        });
        let (values, gradients) = outputs.split_at(names.len());
        for (tensor, actual) in names.iter().zip(values) {
            if let Some(expected) = file::array(step, tensor) {
                let tolerance = if *tensor == "rcgm_target" { Tolerance::Derived } else { Tolerance::Forward };
                assert_near(&format!("{name}: {tensor}"), actual, &expected, tolerance);
            }
        }
        self.compare_absent(name, step, &names);
        let golden = file::params(&step.group("grads").unwrap());
        for (path, (actual, expected)) in paths(&golden).iter().zip(gradients.iter().zip(golden.leaves())) {
            assert_near(&format!("{name}: grads/{path}"), actual, expected, Tolerance::Derived);
        }
        golden.with_leaves(gradients.to_vec())
    }

    /// What the file holds but the loss does not compute must be zero there.
    fn compare_absent(&self, name: &str, step: &Group, computed: &[&str]) {
        for tensor in file::names(step) {
            let is_input = ["x", "c", "e", "draws", "grads", "ema_after"].contains(&tensor.as_str());
            if !is_input && !computed.contains(&tensor.as_str()) {
                let values = file::required(step, &tensor).to_f64();
                assert!(values.iter().all(|value| *value == 0.0), "{name}: {tensor} is not computed");
            }
        }
    }

    /// `p <- p - 0.1 grad`, then the teacher follows.
    fn descend(&mut self, gradients: &Params<HostArray>) {
        let decay = HostArray::scalar(self.teacher_decay as f32);
        let teaching = Teaching::new(&self.config);
        let inputs = ((self.params.clone(), self.teacher.clone()), gradients.clone(), decay);
        let outputs = run(&inputs, |((params, teacher), gradients, decay)| {
            let params = params.zip_map(&gradients, |param, gradient| *param - *gradient * LEARNING_RATE);
            let (teacher, decay) = match teaching {
                Some(teaching) => (moving_average(&teacher, &params, decay), teaching.next_decay(decay)),
                None => (teacher, decay),
            };
            params.leaves().iter().chain(teacher.leaves()).copied().chain([decay]).collect()
        });
        let count = self.params.leaves().len();
        self.params = self.params.with_leaves(outputs[..count].to_vec());
        self.teacher = self.teacher.with_leaves(outputs[count..2 * count].to_vec());
        self.teacher_decay = outputs[2 * count].to_f64()[0];
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
    let time = column(next("beta"));
    let (any_target, mul_target) = (column(next("uniform")), column(next("uniform")));
    let image_free = config.image_free.then(|| next("normal"));
    let fake = (parts.adv > 0).then(|| next("normal"));
    let noise = next("normal");
    let rectify = rectifies.then(|| RectifyDraws { noise: next("normal"), time: column(next("beta")) });
    TwinFlowDraws { time, any_target, mul_target, image_free, fake, noise, rectify }
}
