//! The judge: trained once per dataset, then read from its file.

use std::{path::Path, sync::Arc};

use miette::Result;
use ndarray::Array2;
use twinflow_array::{HostArray, TensorType as Spec};
use twinflow_compiler::{
    Jit, Tensor, TraceError, Traced, jit,
    pjrt::{Buffer, Device},
    to_device, to_host,
};
use twinflow_data::{BatchPlan, Dataset, IMAGES, LABELS, Loader, Source, to_unit_range};
use twinflow_graphs::{
    Params,
    judge::{Judge, JudgeBatch, JudgeConfig, JudgeState, Verdict},
};

use super::judge_file::JudgeFile;
use crate::{devices::Devices, programs::Nothing, said::Said};

/// Images examined at a time.
const CHUNK: usize = 250;

/// Seed of the judge's first weights, order of images and dropout: every evaluation of a dataset has the same judge.
const SEED: u64 = 0;

/// Parameters and images.
type Looked = (Params<Spec>, Spec);

/// A trained judge on a device.
pub struct TrainedJudge {
    program: Jit<Nothing, Looked, Verdict<Spec>>,
    params: Params<HostArray>,
    device: Device,
    images: Spec,
    classes: usize,
    /// Steps it was trained for just now; none if it was read from its file.
    pub trained: Option<u64>,
}

/// What a judge says of a set of images.
pub struct Examined {
    /// `[n, features]`.
    pub features: Array2<f64>,
    /// Labels of the images.
    pub labels: Vec<i32>,
    /// Share of the images that the judge gives their label.
    pub accuracy: f64,
}

impl TrainedJudge {
    /// The judge of a dataset: the one in `file` if it was trained on these data with these settings, else a new one,
    /// which is written there. A file that cannot be read or written costs time, not the evaluation.
    ///
    /// # Errors
    /// Images that the judge cannot take; what compiling, running or reading the data met.
    pub fn of(data: &Arc<Dataset>, config: JudgeConfig, file: &Path, devices: &Devices) -> Result<Self> {
        let judge = Judge::new(config.clone(), data.sample_shape(), data.classes(), data.len()).said()?;
        let device = devices.all()[0].clone();
        let file = JudgeFile::new(file, &data.info(), &config, SEED);
        let (params, trained) = match file.read(&judge) {
            Some(params) => (params, None),
            None => {
                let params = train(&judge, &config, data, devices, &device)?;
                file.write(&params, judge.steps());
                (params, Some(judge.steps()))
            }
        };
        let program = devices.compile(verdict_program(&judge).said()?, 1).said()?;
        let (images, classes) = (judge.images_spec(CHUNK), data.classes());
        Ok(TrainedJudge { program, params, device, images, classes, trained })
    }

    /// Looks at images, f32 `[n, height, width, channels]` in [-1, 1], one after the other, with their labels.
    ///
    /// # Errors
    /// The plugin's.
    pub fn examine(&self, images: &[f32], labels: &[i32]) -> Result<Examined> {
        let pixels = images.len() / labels.len().max(1);
        let (mut features, mut correct) = (Vec::new(), 0);
        let mut params = to_device(&self.params, &self.device).said()?;
        for (images, labels) in images.chunks(CHUNK * pixels).zip(labels.chunks(CHUNK)) {
            let (verdict, given_back) = self.verdict(params, images)?;
            params = given_back;
            let scores = verdict.scores.as_slice::<f32>().said()?;
            let found = scores.chunks(self.classes).map(largest);
            correct += found.zip(labels).filter(|(found, label)| *found == **label as usize).count();
            let width = verdict.features.shape()[1];
            let of_images = &verdict.features.as_slice::<f32>().said()?[..labels.len() * width];
            features.extend(of_images.iter().map(|feature| f64::from(*feature)));
        }
        let width = features.len() / labels.len().max(1);
        let features = Array2::from_shape_vec((labels.len(), width), features).said()?;
        Ok(Examined { features, labels: labels.to_vec(), accuracy: correct as f64 / labels.len() as f64 })
    }

    /// One chunk; a shorter one is filled up with zeros.
    fn verdict(&self, params: Params<Buffer>, images: &[f32]) -> Result<(Verdict<HostArray>, Params<Buffer>)> {
        let mut filled = HostArray::zeros(self.images.clone());
        filled.as_mut_slice::<f32>().said()?[..images.len()].copy_from_slice(images);
        let kept = (params, Buffer::from_host(&self.device, &filled).said()?);
        let verdict = to_host(&self.program.call(None, &kept).said()?).said()?;
        Ok((verdict, kept.0))
    }
}

/// The judge's view of a chunk of images.
fn verdict_program(judge: &Judge) -> Result<Traced<Nothing, Looked, Verdict<Spec>>, TraceError> {
    let kept = (judge.parameter_spec(), judge.images_spec(CHUNK));
    type Kept<'t> = (Params<Tensor<'t>>, Tensor<'t>);
    jit("judge", None, kept, |_, _: Option<Tensor<'_>>, (params, images): Kept<'_>| judge.verdict(&params, images))
}

/// The place of the largest number; the first of equal ones.
fn largest(scores: &[f32]) -> usize {
    (1..scores.len()).fold(0, |best, i| if scores[i] > scores[best] { i } else { best })
}

/// Trains a judge from its first weights.
fn train(
    judge: &Judge,
    config: &JudgeConfig,
    data: &Arc<Dataset>,
    devices: &Devices,
    device: &Device,
) -> Result<Params<HostArray>> {
    type Step = (JudgeState<Spec>, Spec);
    let traced = jit::<_, _, Step>(
        "judge_step",
        judge.state_spec(),
        judge.batch_spec(),
        |_, state: JudgeState<Tensor<'_>>, batch: JudgeBatch<Tensor<'_>>| judge.step(state, &batch),
    );
    let program = devices.compile(traced.said()?, 1).said()?;
    let plan = BatchPlan::new(&[config.batch_size], 1, 1, 1).said()?;
    let loader = Loader::new(data.clone(), plan, SEED, 0).said()?;
    let mut state = to_device(&judge.init(SEED), device).said()?;
    for step in 0..judge.steps() {
        let batch = loader.batch_at(step).said()?.swap_remove(0).swap_remove(0);
        let batch = JudgeBatch { images: to_unit_range(&batch.fields[IMAGES]), labels: batch.fields[LABELS].clone() };
        let batch = to_device(&batch, device).said()?;
        state = program.call(state, &batch).said()?.0;
    }
    Ok(to_host(&state).said()?.params)
}
