//! Measures of pictures made of captions: whether the nearest real picture is one that has the caption, how near the
//! samples are as a whole, and how unlike each other those of one caption are.
//!
//! Pictures are f32 `[n, height, width, channels]` in [-1, 1], one after the other.

mod gallery;
mod judge;
mod nearest;
mod report;
mod scores;
mod variants;

pub use gallery::Gallery;
pub use judge::Judge;
pub use report::{CaptionRow, CaptionSet, CaptionsReport, JudgeQuality};
pub use scores::{CaptionScores, Drawn};
