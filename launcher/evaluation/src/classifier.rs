//! The classifier that judges samples: trained once per dataset, then read from its file.

use std::{path::Path, sync::Arc};

use miette::Result;
use ndarray::Array2;
use serde_json::{Value, json};
use twinflow_array::{HostArray, TensorType, by_ref};
use twinflow_compiler::{
    Jit, Tensor, TraceError, Traced, jit,
    pjrt::{Buffer, Device},
    to_device, to_host,
};
use twinflow_data::{BatchPlan, Dataset, IMAGES, LABELS, Loader, Source, to_unit_range};
use twinflow_models::classifier::{Classifier, ClassifierConfig, ClassifierOutput};
use twinflow_nn::Params;
use twinflow_runtime::{console::OrReport, devices::Devices, programs::Nothing};
use twinflow_training::classifier::{ClassifierBatch, ClassifierState, ClassifierTrainer, ClassifierTraining};

use crate::classifier_file::ClassifierFile;

/// Images examined at a time.
const CHUNK: usize = 250;

/// Seed of the first weights, the order of images and the dropout: every evaluation of a dataset has the same classifier.
const SEED: u64 = 0;

/// Parameters and images.
type Inputs = (Params<TensorType>, TensorType);

/// A trained classifier on a device.
pub struct TrainedClassifier {
    program: Jit<Nothing, Inputs, ClassifierOutput<TensorType>>,
    params: Params<Buffer>,
    device: Device,
    images: TensorType,
    classes: usize,
    /// Steps it was trained for just now; none if it was read from its file.
    pub trained: Option<u64>,
}

/// What a classifier says of a set of images.
pub struct Examined {
    /// `[n, features]`.
    pub features: Array2<f64>,
    /// Labels of the images.
    pub labels: Vec<i32>,
    /// Share of the images that the classifier gives their label.
    pub accuracy: f64,
}

/// What a classifier learns from.
pub(crate) trait Lessons {
    /// Height, width and channels of the images.
    fn shape(&self) -> [usize; 3];

    fn classes(&self) -> usize;

    /// Number of images, which is how long an epoch is.
    fn count(&self) -> usize;

    /// What tells these lessons from others.
    fn identity(&self) -> Value;

    /// `size` images with their labels, which follow from the step alone.
    ///
    /// # Errors
    /// Data that cannot be read.
    fn batch(&self, step: u64, size: usize) -> Result<ClassifierBatch<HostArray>>;
}

impl TrainedClassifier {
    /// The classifier of a dataset's classes.
    ///
    /// # Errors
    /// Images that the classifier cannot take; what compiling, running or reading the data met.
    pub fn of(data: &Arc<Dataset>, file: &Path, devices: &Devices) -> Result<Self> {
        let settings = (&ClassifierConfig::default(), &ClassifierTraining::default());
        Self::learn(&Labelled(data.clone()), settings, file, devices)
    }

    /// The classifier of these lessons: the one in `file` if it learnt from them with these settings, else a new one,
    /// which is written there. A file that cannot be read or written costs time, not the evaluation.
    pub(crate) fn learn(
        lessons: &impl Lessons,
        (config, training): (&ClassifierConfig, &ClassifierTraining),
        file: &Path,
        devices: &Devices,
    ) -> Result<Self> {
        let classes = lessons.classes();
        let classifier = Classifier::new(config, lessons.shape(), classes).or_report()?;
        let trainer = ClassifierTrainer::new(classifier.clone(), training.clone(), lessons.count()).or_report()?;
        let device = devices.all()[0].clone();
        let file = ClassifierFile::new(file, &lessons.identity(), (config, training), SEED);
        let (params, trained) = match file.read(&classifier.parameters().spec()) {
            Some(params) => (to_device(&params, &device).or_report()?, None),
            None => {
                let params = train(&trainer, lessons, devices, &device)?;
                file.write(&to_host(&params).or_report()?, trainer.steps());
                (params, Some(trainer.steps()))
            }
        };
        let program = devices.compile(program(&classifier).or_report()?, 1).or_report()?;
        let images = classifier.images_spec(CHUNK);
        Ok(TrainedClassifier { program, params, device, images, classes, trained })
    }

    /// Looks at images, f32 `[n, height, width, channels]` in [-1, 1], one after the other, with their labels.
    ///
    /// # Errors
    /// The plugin's.
    pub fn examine(&self, images: &[f32], labels: &[i32]) -> Result<Examined> {
        let pixels = images.len() / labels.len().max(1);
        let (mut features, mut correct) = (Vec::new(), 0);
        for (images, labels) in images.chunks(CHUNK * pixels).zip(labels.chunks(CHUNK)) {
            let output = self.output(images)?;
            let scores = output.scores.as_slice::<f32>().or_report()?;
            let found = scores.chunks(self.classes).map(largest);
            correct += found.zip(labels).filter(|(found, label)| *found == **label as usize).count();
            let width = output.features.shape()[1];
            let of_images = &output.features.as_slice::<f32>().or_report()?[..labels.len() * width];
            features.extend(of_images.iter().map(|feature| f64::from(*feature)));
        }
        let width = features.len() / labels.len().max(1);
        let features = Array2::from_shape_vec((labels.len(), width), features).or_report()?;
        Ok(Examined { features, labels: labels.to_vec(), accuracy: correct as f64 / labels.len() as f64 })
    }

    /// One chunk; a shorter one is filled up with zeros.
    fn output(&self, images: &[f32]) -> Result<ClassifierOutput<HostArray>> {
        let mut filled = HostArray::zeros(self.images.clone());
        filled.as_mut_slice::<f32>().or_report()?[..images.len()].copy_from_slice(images);
        let images = Buffer::from_host(&self.device, &filled).or_report()?;
        to_host(&self.program.call(None, (by_ref(&self.params), &images)).or_report()?).or_report()
    }
}

/// A dataset's images and their classes.
struct Labelled(Arc<Dataset>);

impl Lessons for Labelled {
    fn shape(&self) -> [usize; 3] {
        self.0.sample_shape()
    }

    fn classes(&self) -> usize {
        self.0.classes()
    }

    fn count(&self) -> usize {
        self.0.len()
    }

    fn identity(&self) -> Value {
        let checksums = self.0.info().checksums;
        json!([checksums.images, checksums.labels])
    }

    fn batch(&self, step: u64, size: usize) -> Result<ClassifierBatch<HostArray>> {
        let plan = BatchPlan::new(&[size], 1, 1, 1).or_report()?;
        let loader = Loader::new(self.0.clone(), plan, SEED, 0).or_report()?;
        let batch = loader.batch_at(step).or_report()?.swap_remove(0).swap_remove(0);
        let (images, labels) = (to_unit_range(&batch.fields[IMAGES]), batch.fields[LABELS].clone());
        Ok(ClassifierBatch { images, labels })
    }
}

/// The classifier's view of a chunk of images.
fn program(classifier: &Classifier) -> Result<Traced<Nothing, Inputs, ClassifierOutput<TensorType>>, TraceError> {
    let kept = (classifier.parameters().spec(), classifier.images_spec(CHUNK));
    type Kept<'t> = (Params<Tensor<'t>>, Tensor<'t>);
    jit("classifier", None, kept, |_, _: Option<Tensor<'_>>, (params, images): Kept<'_>| {
        classifier.forward(&params, images)
    })
}

/// The place of the largest number; the first of equal ones.
fn largest(scores: &[f32]) -> usize {
    (1..scores.len()).fold(0, |best, i| if scores[i] > scores[best] { i } else { best })
}

/// Trains a classifier from its first weights.
fn train(
    trainer: &ClassifierTrainer,
    lessons: &impl Lessons,
    devices: &Devices,
    device: &Device,
) -> Result<Params<Buffer>> {
    type Step = (ClassifierState<TensorType>, TensorType);
    let traced = jit::<_, _, Step>(
        "classifier_step",
        trainer.state_spec(),
        trainer.batch_spec(),
        |_, state: ClassifierState<Tensor<'_>>, batch: ClassifierBatch<Tensor<'_>>| trainer.step(state, &batch),
    );
    let program = devices.compile(traced.or_report()?, 1).or_report()?;
    let mut state = to_device(&trainer.init(SEED), device).or_report()?;
    for step in 0..trainer.steps() {
        let batch = to_device(&lessons.batch(step, trainer.batch_size())?, device).or_report()?;
        state = program.call(state, by_ref(&batch)).or_report()?.0;
    }
    Ok(state.params)
}
