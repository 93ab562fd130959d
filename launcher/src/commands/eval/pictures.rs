//! `eval` of models of pictures, by a classifier of the real ones.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use miette::{Result, miette};
use twinflow_data::{DEFAULT_CACHE_BYTES, Dataset, IMAGES, LABELS, Source, Verify, byte_to_unit, to_unit_range};
use twinflow_evaluation::{
    ClassifierQuality, Examined, Gaussian, Measured, Report, Scores, TrainedClassifier, diversity, frechet_distance,
};
use twinflow_runtime::{console::OrReport, devices::Devices};

use super::subject::{Subject, finish, per_class, refuse_files};
use crate::{
    cli::{Calls, EvalArgs},
    commands::print_line,
    config::{Config, DataKind},
    pictures::{sample_file::make_parent, to_bytes},
};

/// Scores samples by a classifier's opinion of them and of real images.
///
/// # Errors
/// Missing data, data of another shape, no usable plugin, a file that cannot be written.
pub fn evaluate(args: &EvalArgs, subject: &Subject) -> Result<()> {
    let help = "leave it out; test images of the same classes are named by --test-data";
    refuse_files(&[("--held-out", &args.held_out)], "classes", help)?;
    let files = Files::of(args, &subject.config)?;
    let (train, test) = (dataset(&files.train)?, test_dataset(&files.test)?);
    check_shapes(&subject.config, &train, &test)?;
    let measure = Measure::new(&train, &test, &files, &subject.devices)?;
    make_parent(&args.out)?;
    let per_class = per_class(args);
    let results = args.nfe.iter().map(|calls| measure.samples(*calls, args, subject));
    let report = Report {
        samples: subject.samples(args),
        classes: test.classes(),
        classifier: measure.quality(&train, &files.classifier),
        train_images: measure.real(&train, per_class)?,
        results: results.collect::<Result<_>>()?,
        data: files.train,
        test_data: files.test,
    };
    finish(args, &report)
}

struct Files {
    train: PathBuf,
    test: PathBuf,
    classifier: PathBuf,
}

impl Files {
    fn of(args: &EvalArgs, config: &Config) -> Result<Self> {
        let help = "name the training images by --data and the test images by --test-data";
        let train = training_file(args, config, help)?;
        let test = args.test_data.clone().unwrap_or_else(|| test_file(&train));
        let classifier = args.classifier.clone().unwrap_or_else(|| train.with_extension("judge.h5"));
        Ok(Files { train, test, classifier })
    }
}

/// The training images that are named, or else those of the checkpoint.
///
/// # Errors
/// There are none.
pub fn training_file(args: &EvalArgs, config: &Config, help: &'static str) -> Result<PathBuf> {
    match &args.data {
        Some(path) => Ok(path.clone()),
        None if config.data.kind == DataKind::Hdf5 => Ok(config.data.path.clone()),
        None => Err(miette!(help = help, "the checkpoint was not trained on a dataset file")),
    }
}

/// Where the test split of a dataset is expected: NAME-test.h5 beside NAME.h5.
pub fn test_file(train: &Path) -> PathBuf {
    let stem = train.file_stem().unwrap_or_default().to_string_lossy();
    train.with_file_name(format!("{stem}-test.h5"))
}

/// A dataset of pictures of one shape, in memory.
///
/// # Errors
/// It is missing or damaged, or holds several shapes.
pub fn dataset(path: &Path) -> Result<Arc<Dataset>> {
    let dataset = Dataset::open(path, Verify::Yes).or_report()?;
    let shapes = dataset.buckets().all().len();
    if shapes > 1 {
        let help = "import the same pictures without --aspect-buckets into another file, and name that one";
        return Err(miette!(
            help = help,
            "{} holds pictures of {shapes} shapes; eval judges those of one",
            path.display()
        ));
    }
    Ok(Arc::new(dataset.cached(DEFAULT_CACHE_BYTES).or_report()?))
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

/// The classifier and what it says of the test images.
struct Measure {
    classifier: TrainedClassifier,
    test: Examined,
    gaussian: Gaussian,
    classes: usize,
}

impl Measure {
    fn new(train: &Arc<Dataset>, test: &Arc<Dataset>, files: &Files, devices: &Devices) -> Result<Self> {
        let began = Instant::now();
        let classifier = TrainedClassifier::of(train, &files.classifier, devices)?;
        let (images, labels) = read(test, &(0..test.len() as u64).collect::<Vec<_>>())?;
        let test = classifier.examine(&images, &labels)?;
        let origin = match classifier.trained {
            Some(steps) => format!("trained for {steps} steps, kept in {}", files.classifier.display()),
            None => format!("read from {}", files.classifier.display()),
        };
        let (accuracy, seconds) = (test.accuracy, began.elapsed().as_secs_f64());
        print_line(format_args!(
            "classifier: accuracy {accuracy:.4} on {} test images; {origin}; {seconds:.1} s",
            labels.len()
        ))?;
        let gaussian = Gaussian::of(test.features.view());
        Ok(Measure { classifier, test, gaussian, classes: train.classes() })
    }

    fn quality(&self, train: &Dataset, file: &Path) -> ClassifierQuality {
        ClassifierQuality {
            test_accuracy: self.test.accuracy,
            test_images: self.test.labels.len(),
            train_images: train.len(),
            file: file.to_owned(),
        }
    }

    /// Draws and measures the samples of one number of calls, as the bytes that a picture would have.
    fn samples(&self, calls: Calls, args: &EvalArgs, subject: &Subject) -> Result<Measured<Scores>> {
        let began = Instant::now();
        let (drawn, config) = subject.draw(calls, args)?;
        let images: Vec<f32> = to_bytes(&drawn.values).into_iter().map(byte_to_unit).collect();
        let scores = self.scores(&self.classifier.examine(&images, &drawn.labels)?)?;
        let (count, seconds) = (drawn.labels.len(), began.elapsed().as_secs_f64());
        print_line(format_args!("NFE {}: {count} samples drawn and classified in {seconds:.1} s", calls.nfe))?;
        Ok(Measured { nfe: calls.nfe, sample: config, scores })
    }

    /// The first training images of each class.
    fn real(&self, train: &Dataset, per_class: usize) -> Result<Scores> {
        let of_class = |class| {
            let indices = (0..train.len() as u64).filter(move |index| train.labels()[*index as usize] == class);
            indices.take(per_class)
        };
        let indices: Vec<u64> = (0..self.classes as i32).flat_map(of_class).collect();
        let (images, labels) = read(train, &indices)?;
        self.scores(&self.classifier.examine(&images, &labels)?)
    }

    fn scores(&self, found: &Examined) -> Result<Scores> {
        let (samples, test) = (found.features.view(), self.test.features.view());
        Ok(Scores {
            class_accuracy: found.accuracy,
            frechet_distance: frechet_distance(&Gaussian::of(samples), &self.gaussian)?,
            diversity: diversity((samples, &found.labels), (test, &self.test.labels), self.classes),
        })
    }
}

/// Images and labels of the given indices.
fn read(data: &Dataset, indices: &[u64]) -> Result<(Vec<f32>, Vec<i32>)> {
    let fields = data.gather(indices).or_report()?;
    let images = to_unit_range(&fields[IMAGES]).as_slice().or_report()?.to_vec();
    Ok((images, fields[LABELS].as_slice().or_report()?.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_images_and_classifier_are_beside_the_training_images() {
        let train = Path::new("datasets/digits.v2.h5");
        assert_eq!(test_file(train), Path::new("datasets/digits.v2-test.h5"));
        assert_eq!(train.with_extension("judge.h5"), Path::new("datasets/digits.v2.judge.h5"));
    }
}
