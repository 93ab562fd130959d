//! What an evaluation found, as a table and as JSON.

use std::{fmt, path::PathBuf};

use serde::Serialize;
use twinflow_graphs::flow::SampleConfig;

/// The numbers of one set of images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Scores {
    /// Share of the images whose class the judge recognises.
    pub class_accuracy: f64,
    /// Frechet distance to all test images, in the judge's features.
    pub frechet_distance: f64,
    /// Mean distance within a class, over that of the test images; none with one image per class.
    pub diversity: Option<f64>,
}

/// The judge's own quality.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    /// Accuracy on the test images.
    pub test_accuracy: f64,
    /// Number of test images.
    pub test_images: usize,
    /// Number of training images.
    pub train_images: usize,
    /// Where it is kept.
    pub file: PathBuf,
}

/// The samples of one number of network calls.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Network calls per sample.
    pub nfe: usize,
    /// How they were made.
    pub sample: SampleConfig,
    /// What they are worth.
    #[serde(flatten)]
    pub scores: Scores,
}

/// An evaluation. It holds no times, so equal evaluations give equal files.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The checkpoint file.
    pub checkpoint: PathBuf,
    /// Its training step.
    pub step: u64,
    /// Which of its weights.
    pub weights: String,
    /// Seed of the samples' noise.
    pub seed: u64,
    /// Samples per class.
    pub count_per_class: usize,
    /// Number of classes.
    pub classes: usize,
    /// Dataset that the judge learnt from.
    pub data: PathBuf,
    /// Dataset that samples are compared with.
    pub test_data: PathBuf,
    /// The judge.
    pub judge: Judged,
    /// As many training images as there are samples: what perfect samples would get.
    pub train_images: Scores,
    /// A row per number of network calls.
    pub results: Vec<Measured>,
}

impl fmt::Display for Report {
    /// Aligned lines for a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (per_class, classes) = (self.count_per_class, self.classes);
        writeln!(f, "{}: {per_class} samples of each of {classes} classes", self.checkpoint.display())?;
        writeln!(f, "{:<14} {:>14} {:>16} {:>10}", "network calls", "class accuracy", "Frechet distance", "diversity")?;
        for Measured { nfe, sample, scores } in &self.results {
            let style = format!("{:?}", sample.style).to_lowercase();
            writeln!(f, "{:<14} {scores}", format!("{nfe} ({style})"))?;
        }
        write!(f, "{:<14} {}", "real (train)", self.train_images)
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
