//! Measures of samples: a judge's opinion, Frechet distance, diversity within a class.

mod diversity;
mod factors;
mod frechet;
mod judge;
mod judge_file;
mod report;
mod settings;

pub use diversity::diversity;
pub use frechet::{Gaussian, frechet_distance};
pub use judge::{Examined, TrainedJudge};
pub use report::{Judged, Measured, Report, Scores};
pub use settings::sampling;
