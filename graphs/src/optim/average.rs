//! Moving averages of the parameters: one to sample from, one to teach.

use twinflow_array::DType;
use twinflow_compiler::Tensor;

use crate::{
    Params,
    twinflow::{TeacherKind, TwinFlowConfig},
};

/// `decay average + (1 - decay) params`; `decay` is a scalar.
#[track_caller]
pub fn moving_average<'t>(
    average: &Params<Tensor<'t>>,
    params: &Params<Tensor<'t>>,
    decay: Tensor<'t>,
) -> Params<Tensor<'t>> {
    average.zip_map(params, |average, param| decay * *average + (1.0 - decay) * *param)
}

/// Decay of the average to sample from: `min(decay, (1 + n) / (10 + n))` after n updates, so that a long average
/// forgets the random start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AverageDecay(pub f64);

impl AverageDecay {
    /// The decay of the update that follows `updates` (integer scalar) earlier ones, f32.
    #[track_caller]
    pub fn at(self, updates: Tensor<'_>) -> Tensor<'_> {
        let n = updates.convert(DType::F32);
        ((n + 1.0) / (n + 10.0)).minimum(self.0)
    }
}

/// How the teacher's decay runs.
///
/// With warm-up it starts at half its value d and moves half of the way that is left, scaled by how much the teacher
/// forgets: `m <- m + (1 - m) (d - m) / 2`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Teaching {
    decay: f64,
    warmup: bool,
}

impl Teaching {
    /// The teacher of these options, if it is a moving average.
    pub fn new(config: &TwinFlowConfig) -> Option<Self> {
        let is_average = config.teacher == TeacherKind::Ema;
        is_average.then_some(Teaching { decay: config.teacher_decay, warmup: config.teacher_warmup })
    }

    /// The decay when teaching starts, with the teacher a copy of the model.
    pub fn first_decay(self) -> f64 {
        if self.warmup { self.decay / 2.0 } else { self.decay }
    }

    /// The decay after an update at decay `m` (f32 scalar).
    #[track_caller]
    pub fn next_decay(self, m: Tensor<'_>) -> Tensor<'_> {
        if self.warmup { m + (1.0 - m) * (self.decay - m) / 2.0 } else { m }
    }
}
