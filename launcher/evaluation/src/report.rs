//! What an evaluation found, as a table and as JSON.

use std::{fmt, path::PathBuf};

use serde::Serialize;
use twinflow_methods::flow::SampleConfig;

/// The numbers of one set of images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Scores {
    /// Share of the images whose class the classifier recognises.
    pub class_accuracy: f64,
    /// Frechet distance to all test images, in the classifier's features.
    pub frechet_distance: f64,
    /// Mean distance within a class, over that of the test images; none with one image per class.
    pub diversity: Option<f64>,
}

/// How good the classifier itself is.
#[derive(Clone, Debug, Serialize)]
pub struct ClassifierQuality {
    /// Accuracy on the test images.
    pub test_accuracy: f64,
    /// Number of test images.
    pub test_images: usize,
    /// Number of training images.
    pub train_images: usize,
    /// Where it is kept.
    pub file: PathBuf,
}

/// The numbers of one set of points in the plane.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PointScores {
    /// Energy distance to as many real points of the same class, averaged over the classes.
    pub energy_distance: f64,
}

/// The samples of one number of network calls.
#[derive(Clone, Debug, Serialize)]
pub struct Measured<S> {
    /// Network calls per sample.
    pub nfe: usize,
    /// How they were made.
    pub sample: SampleConfig,
    /// What they are worth.
    #[serde(flatten)]
    pub scores: S,
}

/// Where the samples of an evaluation come from.
#[derive(Clone, Debug, Serialize)]
pub struct Samples {
    pub checkpoint: PathBuf,
    /// Training steps of the checkpoint.
    pub step: u64,
    /// `params` or `ema`.
    pub weights: String,
    /// Of the samples' noise.
    pub seed: u64,
    pub count_per_class: usize,
}

/// An evaluation. It holds no times, so equal evaluations give equal files.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    #[serde(flatten)]
    pub samples: Samples,
    pub classes: usize,
    /// Dataset that the classifier learnt from.
    pub data: PathBuf,
    /// Dataset that samples are compared with.
    pub test_data: PathBuf,
    /// Its own quality, to judge its verdicts by.
    pub classifier: ClassifierQuality,
    /// As many training images as there are samples: what perfect samples would get.
    pub train_images: Scores,
    pub results: Vec<Measured<Scores>>,
}

/// An evaluation of points in the plane.
#[derive(Clone, Debug, Serialize)]
pub struct PointsReport {
    #[serde(flatten)]
    pub samples: Samples,
    pub toy: String,
    /// Distance of other real points, as many as there are samples: what perfect samples would get.
    pub real_energy_distance: f64,
    pub results: Vec<Measured<PointScores>>,
}

impl fmt::Display for Report {
    /// Aligned lines for a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (per_class, classes) = (self.samples.count_per_class, self.classes);
        writeln!(f, "{}: {per_class} samples of each of {classes} classes", self.samples.checkpoint.display())?;
        writeln!(f, "{:<14} {:>14} {:>16} {:>10}", "network calls", "class accuracy", "Frechet distance", "diversity")?;
        self.results.iter().try_for_each(|measured| writeln!(f, "{:<14} {}", measured.calls(), measured.scores))?;
        write!(f, "{:<14} {}", "real (train)", self.train_images)
    }
}

impl fmt::Display for PointsReport {
    /// Aligned lines for a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} points of each class of {}",
            self.samples.checkpoint.display(),
            self.samples.count_per_class,
            self.toy
        )?;
        writeln!(f, "{:<14} {:>15}", "network calls", "energy distance")?;
        for measured in &self.results {
            writeln!(f, "{:<14} {:>15.4}", measured.calls(), measured.scores.energy_distance)?;
        }
        write!(f, "{:<14} {:>15.4}", "real", self.real_energy_distance)
    }
}

/// The number of calls, how they are placed and their guidance.
pub(crate) fn calls(sample: &SampleConfig) -> String {
    match sample.guidance {
        1.0 => format!("{} ({})", sample.nfe, sample.style),
        scale => format!("{} ({}) @ {scale}", sample.nfe, sample.style),
    }
}

impl<S> Measured<S> {
    fn calls(&self) -> String {
        calls(&self.sample)
    }
}

impl fmt::Display for Scores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>14.3} {:>16.2} ", self.class_accuracy, self.frechet_distance)?;
        match self.diversity {
            Some(diversity) => write!(f, "{diversity:>10.3}"),
            None => write!(f, "{:>10}", "-"),
        }
    }
}
