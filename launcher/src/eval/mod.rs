//! Measures of samples: a judge's opinion, Frechet distance, diversity within a class; energy distance of points.

mod diversity;
mod energy;
mod factors;
mod frechet;
mod judge;
mod judge_file;
mod report;
mod settings;

pub use diversity::diversity;
pub use energy::energy_distance_by_class;
pub use frechet::{Gaussian, frechet_distance};
pub use judge::{Examined, TrainedJudge};
pub use report::{Judged, Measured, PointScores, PointsReport, Report, Scores};
pub use settings::sampling;
