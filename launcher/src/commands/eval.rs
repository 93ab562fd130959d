//! `eval`: how good a checkpoint's samples are.

use std::{
    fmt::Display,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use miette::{Result, miette};
use serde::Serialize;
use twinflow_array::{HostArray, ParamPath};
use twinflow_checkpoints::Checkpoint;
use twinflow_data::{DEFAULT_CACHE_BYTES, Dataset, IMAGES, LABELS, Source, Verify, to_unit_range};
use twinflow_graphs::{Params, judge::JudgeConfig, step::Trainer};

use super::{eval_points::eval_points, open_checkpoint, print_line};
use crate::{
    cli::EvalArgs,
    config::{Config, DataKind},
    devices::Devices,
    eval::{Examined, Gaussian, Judged, Measured, Report, Scores, TrainedJudge, diversity, frechet_distance, sampling},
    pictures::to_bytes,
    said::Said,
    sample_file::make_parent,
    sampler::Sampler,
};

/// Runs `eval`.
///
/// # Errors
/// Bad arguments, a damaged checkpoint, missing data, no usable plugin, a file that cannot be written.
pub fn eval(args: &EvalArgs) -> Result<()> {
    refuse_sampling_settings(&args.set)?;
    let subject = Subject::load(args)?;
    if subject.config.data.kind == DataKind::Toy {
        return eval_points(args, &subject);
    }
    let files = Files::of(args, &subject.config)?;
    let (train, test) = (dataset(&files.train)?, test_dataset(&files.test)?);
    check_shapes(&subject.config, &train, &test)?;
    let devices = Devices::open(&subject.config.device, 0)?;
    let measure = Measure::new(&train, &test, &files, &devices)?;
    make_parent(&args.out)?;
    let per_class = args.count as usize;
    let results = args.nfe.iter().map(|nfe| measure.samples(*nfe as usize, args, &subject, &devices));
    let report = Report {
        checkpoint: subject.checkpoint.path().to_owned(),
        step: subject.checkpoint.metadata().step,
        weights: args.weights.prefix().to_owned(),
        seed: args.seed,
        count_per_class: per_class,
        classes: test.classes(),
        judge: measure.judged(&train, &files.judge),
        train_images: measure.real(&train, per_class)?,
        results: results.collect::<Result<_>>()?,
        data: files.train,
        test_data: files.test,
    };
    finish(args, &report)
}

/// Prints a report and writes it as JSON.
pub(super) fn finish(args: &EvalArgs, report: &(impl Display + Serialize)) -> Result<()> {
    print_line(report)?;
    let json = serde_json::to_string_pretty(report).said()? + "\n";
    std::fs::write(&args.out, json).map_err(|error| miette!("cannot write {}: {error}", args.out.display()))?;
    print_line(format_args!("{}: the same with all settings", args.out.display()))
}

/// What is evaluated.
pub(super) struct Subject {
    pub checkpoint: Checkpoint,
    pub config: Config,
    pub trainer: Trainer,
    pub params: Params<HostArray>,
}

impl Subject {
    fn load(args: &EvalArgs) -> Result<Self> {
        let checkpoint = open_checkpoint(&args.checkpoint)?;
        let name = format!("the config in {}", checkpoint.path().display());
        let mut config = Config::from_text(&name, &checkpoint.metadata().config, &args.set)?;
        // The devices' share of the batch is training's concern.
        config.device.devices = 1;
        let trainer = config.trainer(1)?;
        let prefix = ParamPath::from(args.weights.prefix());
        let params = checkpoint.restore_into(&trainer.parameter_spec(), &prefix).said()?;
        Ok(Subject { checkpoint, config, trainer, params })
    }
}

/// The files that an evaluation reads.
struct Files {
    train: PathBuf,
    test: PathBuf,
    judge: PathBuf,
}

impl Files {
    fn of(args: &EvalArgs, config: &Config) -> Result<Self> {
        let train = match &args.data {
            Some(path) => path.clone(),
            None if config.data.kind == DataKind::Hdf5 => config.data.path.clone(),
            None => {
                let help = "name the training images by --data and the test images by --test-data";
                return Err(miette!(help = help, "the checkpoint was not trained on a dataset file"));
            }
        };
        let test = args.test_data.clone().unwrap_or_else(|| test_file(&train));
        let judge = args.judge.clone().unwrap_or_else(|| train.with_extension("judge.h5"));
        Ok(Files { train, test, judge })
    }
}

/// Where the test split of a dataset is expected: NAME-test.h5 beside NAME.h5.
pub fn test_file(train: &Path) -> PathBuf {
    let stem = train.file_stem().unwrap_or_default().to_string_lossy();
    train.with_file_name(format!("{stem}-test.h5"))
}

fn dataset(path: &Path) -> Result<Arc<Dataset>> {
    let dataset = Dataset::open(path, Verify::Yes).said()?;
    Ok(Arc::new(dataset.cached(DEFAULT_CACHE_BYTES).said()?))
}

fn test_dataset(path: &Path) -> Result<Arc<Dataset>> {
    if !path.exists() {
        return Err(miette!(
            help = "`data import --from-debian fashion-mnist` writes both splits; of other data import the test images \
                    too, under this name, or name them by --test-data",
            "there are no test images at {}",
            path.display()
        ));
    }
    dataset(path)
}

/// The samples' settings follow from the number of calls, so others would silently have no effect.
fn refuse_sampling_settings(assignments: &[String]) -> Result<()> {
    match assignments.iter().find(|assignment| assignment.trim_start().starts_with("sample.")) {
        None => Ok(()),
        Some(assignment) => Err(miette!(
            help = "leave it out; eval takes the method's usual settings for each number of calls and writes them down",
            "--set {assignment} has no effect on eval"
        )),
    }
}

fn check_shapes(config: &Config, train: &Dataset, test: &Dataset) -> Result<()> {
    let model = (config.data.shape(), config.data.classes);
    for data in [train, test] {
        let found = (data.sample_shape(), data.classes());
        if found != model {
            let path = data.info().path;
            return Err(miette!(
                "{} holds images {:?} of {} classes, but the model makes {:?} of {}",
                path.display(),
                found.0,
                found.1,
                model.0,
                model.1
            ));
        }
    }
    Ok(())
}

/// The judge and what it says of the test images.
struct Measure {
    judge: TrainedJudge,
    test: Examined,
    gaussian: Gaussian,
    classes: usize,
}

impl Measure {
    fn new(train: &Arc<Dataset>, test: &Arc<Dataset>, files: &Files, devices: &Devices) -> Result<Self> {
        let began = Instant::now();
        let judge = TrainedJudge::of(train, JudgeConfig::default(), &files.judge, devices)?;
        let (images, labels) = read(test, &(0..test.len() as u64).collect::<Vec<_>>())?;
        let test = judge.examine(&images, &labels)?;
        let origin = match judge.trained {
            Some(steps) => format!("trained for {steps} steps, kept in {}", files.judge.display()),
            None => format!("read from {}", files.judge.display()),
        };
        let (accuracy, seconds) = (test.accuracy, began.elapsed().as_secs_f64());
        print_line(format_args!(
            "judge: accuracy {accuracy:.4} on {} test images; {origin}; {seconds:.1} s",
            labels.len()
        ))?;
        let gaussian = Gaussian::of(test.features.view());
        Ok(Measure { judge, test, gaussian, classes: train.classes() })
    }

    fn judged(&self, train: &Dataset, file: &Path) -> Judged {
        Judged {
            test_accuracy: self.test.accuracy,
            test_images: self.test.labels.len(),
            train_images: train.len(),
            file: file.to_owned(),
        }
    }

    /// Draws and measures the samples of one number of calls, as the bytes that a picture would have.
    fn samples(&self, nfe: usize, args: &EvalArgs, subject: &Subject, devices: &Devices) -> Result<Measured<Scores>> {
        let began = Instant::now();
        let config = sampling(nfe);
        let sampler = Sampler::new(&subject.trainer, &config, subject.config.data.shape(), devices)?;
        let labels: Vec<i32> = (0..self.classes as i32).collect();
        let drawn = sampler.draw(&subject.params, &labels, args.count as usize, args.seed)?;
        let images: Vec<f32> = to_bytes(&drawn.values).into_iter().map(|byte| f32::from(byte) / 127.5 - 1.0).collect();
        let scores = self.scores(&self.judge.examine(&images, &drawn.labels)?);
        let (count, seconds) = (drawn.labels.len(), began.elapsed().as_secs_f64());
        print_line(format_args!("{nfe} network calls: {count} samples drawn and judged in {seconds:.1} s"))?;
        Ok(Measured { nfe, sample: config, scores })
    }

    /// The first training images of each class.
    fn real(&self, train: &Dataset, per_class: usize) -> Result<Scores> {
        let of_class = |class| {
            let indices = (0..train.len() as u64).filter(move |index| train.labels()[*index as usize] == class);
            indices.take(per_class)
        };
        let indices: Vec<u64> = (0..self.classes as i32).flat_map(of_class).collect();
        let (images, labels) = read(train, &indices)?;
        Ok(self.scores(&self.judge.examine(&images, &labels)?))
    }

    fn scores(&self, found: &Examined) -> Scores {
        let (samples, test) = (found.features.view(), self.test.features.view());
        Scores {
            class_accuracy: found.accuracy,
            frechet_distance: frechet_distance(&Gaussian::of(samples), &self.gaussian),
            diversity: diversity((samples, &found.labels), (test, &self.test.labels), self.classes),
        }
    }
}

/// Images and labels of the given indices.
fn read(data: &Dataset, indices: &[u64]) -> Result<(Vec<f32>, Vec<i32>)> {
    let fields = data.gather(indices).said()?;
    let images = to_unit_range(&fields[IMAGES]).as_slice().said()?.to_vec();
    Ok((images, fields[LABELS].as_slice().said()?.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_images_and_judge_are_beside_the_training_images() {
        let train = Path::new("datasets/digits.v2.h5");
        assert_eq!(test_file(train), Path::new("datasets/digits.v2-test.h5"));
        assert_eq!(train.with_extension("judge.h5"), Path::new("datasets/digits.v2.judge.h5"));
    }
}
