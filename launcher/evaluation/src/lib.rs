//! Measures of samples: a classifier's opinion, Frechet distance, diversity within a class; energy distance of points.

#![allow(missing_docs, reason = "a part of the program: the names say most")]

pub mod captions;
mod classifier;
mod classifier_file;
mod diversity;
mod energy;
mod frechet;
mod report;

pub use classifier::{Examined, TrainedClassifier};
pub use diversity::diversity;
pub use energy::energy_distance_by_class;
pub use frechet::{Gaussian, frechet_distance};
pub use report::{ClassifierQuality, Measured, PointScores, PointsReport, Report, Samples, Scores};
