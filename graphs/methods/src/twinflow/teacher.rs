//! The parameters that targets are computed with, and how they follow the model.

use twinflow_array::{TensorType, Tree};
use twinflow_compiler::Tensor;
use twinflow_nn::Params;

use crate::{
    Start, moving_average,
    twinflow::{TeacherKind, TwinFlowConfig},
};

/// The parameters that targets are computed with.
#[derive(Clone, Copy)]
pub enum Teacher<'a, 't> {
    /// The model itself, without gradient.
    Live,
    /// A moving average of the model.
    Average(&'a Params<Tensor<'t>>),
    /// A fixed copy: it guides, while the RCGM integral follows the model itself.
    Frozen(&'a Params<Tensor<'t>>),
}

impl<'a, 't> Teacher<'a, 't> {
    /// The parameters that guide, and those of the RCGM integral; `live` is the model without gradient.
    pub(super) fn roles(self, live: &'a Params<Tensor<'t>>) -> (&'a Params<Tensor<'t>>, &'a Params<Tensor<'t>>) {
        match self {
            Teacher::Live => (live, live),
            Teacher::Average(teacher) => (teacher, teacher),
            Teacher::Frozen(teacher) => (teacher, live),
        }
    }
}

/// What TwinFlow keeps from step to step.
#[derive(Clone, Debug, Tree)]
pub(super) struct TeacherState<L> {
    /// The teacher's values of the trained parameters, unless it is the model itself.
    pub teacher: Option<Params<L>>,
    /// How much of itself the teacher keeps at the next update, f32.
    pub teacher_decay: L,
}

impl TeacherState<Start> {
    /// The teacher starts as a copy of the model.
    pub(super) fn new(config: &TwinFlowConfig, trained: &Params<TensorType>) -> Self {
        let copies = trained.leaves().iter().enumerate().map(|(index, ty)| Start::Trained(index, ty.clone()));
        let fixed = if config.teacher == TeacherKind::Frozen { 1.0 } else { 0.0 };
        let decay = TeacherDecay::new(config).map_or(fixed, TeacherDecay::first);
        TeacherState {
            teacher: (config.teacher != TeacherKind::Live).then(|| trained.with_leaves(copies)),
            teacher_decay: Start::Number(decay as f32),
        }
    }
}

impl<'t> TeacherState<Tensor<'t>> {
    /// The state after an update of the trained parameters.
    pub(super) fn after_update(self, config: &TwinFlowConfig, trained: &Params<Tensor<'t>>) -> Self {
        match (&self.teacher, TeacherDecay::new(config)) {
            (Some(teacher), Some(decay)) => TeacherState {
                teacher: Some(moving_average(teacher, trained, self.teacher_decay)),
                teacher_decay: decay.next(self.teacher_decay),
            },
            _ => self,
        }
    }
}

/// How the decay of a teacher that is a moving average runs.
///
/// With warm-up it starts at half its value d and moves half of the way that is left, scaled by how much the teacher
/// forgets: `m <- m + (1 - m) (d - m) / 2`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TeacherDecay {
    decay: f64,
    warmup: bool,
}

impl TeacherDecay {
    /// The decay of these options; none if the teacher is no moving average.
    pub fn new(config: &TwinFlowConfig) -> Option<Self> {
        let is_average = config.teacher == TeacherKind::Ema;
        is_average.then_some(TeacherDecay { decay: config.teacher_decay, warmup: config.teacher_warmup })
    }

    /// The decay when teaching starts, with the teacher a copy of the model.
    pub fn first(self) -> f64 {
        if self.warmup { self.decay / 2.0 } else { self.decay }
    }

    /// The decay after an update at decay `m` (f32 scalar).
    #[track_caller]
    pub fn next(self, m: Tensor<'_>) -> Tensor<'_> {
        if self.warmup { m + (1.0 - m) * (self.decay - m) / 2.0 } else { m }
    }
}
