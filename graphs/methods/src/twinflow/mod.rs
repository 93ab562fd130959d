//! TwinFlow (arXiv 2512.05150): the losses that turn a flow-matching model into a one-step generator.
//!
//! A negative time marks the twin: the model's own fake samples, whose velocity the same network learns. The difference
//! of the two velocities at the model's one-step samples then points from fakes to data.

mod config;
mod distance;
mod draws;
mod loss;
mod method;
mod parts;
mod rectify;
mod samples;
mod target;
mod teacher;
mod whole_batch;

pub use config::{GuidanceAgainst, LossKind, Shares, TeacherKind, TwinFlowConfig, Variant};
pub use distance::Distance;
pub use draws::{RectifyDraws, TwinFlowDraws};
pub use loss::{Intermediates, LossTerms, TwinFlowLoss};
pub use method::TwinFlow;
pub use parts::{Part, Parts};
pub use teacher::{Teacher, TeacherDecay};
