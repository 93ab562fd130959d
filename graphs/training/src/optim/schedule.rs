//! The learning rate as a function of the step.

use std::f64::consts::PI;

use twinflow_array::DType;
use twinflow_compiler::Tensor;

use crate::optim::{OptimizerConfig, Schedule};

impl OptimizerConfig {
    /// The learning rate of the given step (integer scalar, from 0), f64: linear warm-up, then the schedule until
    /// `steps`.
    ///
    /// Scalars of the optimizer are f64: their differences from 1 would lose most digits in f32.
    #[track_caller]
    pub fn learning_rate_at<'t>(&self, step: Tensor<'t>, steps: u64) -> Tensor<'t> {
        let step = step.convert(DType::F64);
        let warmup = self.warmup_steps as f64;
        let rate = match self.schedule {
            Schedule::Constant => step.full_like(self.learning_rate),
            Schedule::Cosine => {
                let length = (steps as f64 - warmup).max(1.0);
                let progress = ((step - warmup) / length).clamp(0.0, 1.0);
                let fall = ((progress * PI).cos() + 1.0) * 0.5;
                fall * (self.learning_rate - self.min_learning_rate) + self.min_learning_rate
            }
        };
        if self.warmup_steps == 0 { rate } else { rate * ((step + 1.0) / warmup).minimum(1.0) }
    }
}
