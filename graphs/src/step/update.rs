//! State updates.

use twinflow_array::{DType, leaves, map};
use twinflow_compiler::Tensor;

use crate::{
    Params,
    optim::{AverageDecay, Teaching, moving_average},
    step::{Batch, Metrics, Phase, State, Trainer, gradients::Gradients},
};

impl Trainer {
    /// One training step on one device's batch, as a single program: donate the state. With several devices the
    /// gradients are averaged over them inside.
    pub fn step<'t>(
        &self,
        phase: Phase,
        state: State<Tensor<'t>>,
        batch: &Batch<Tensor<'t>>,
    ) -> (State<Tensor<'t>>, Metrics<Tensor<'t>>) {
        let gradients = self.batch_gradients(phase, &state, batch);
        let gradients = if self.config.devices == 1 {
            gradients
        } else {
            // One collective over one buffer instead of one per parameter.
            self.split(self.join(&gradients).all_reduce_mean(self.config.devices))
        };
        state.step.trace().scope("update", || self.apply(phase, state, &gradients))
    }

    /// The gradients and loss terms of one process's batch, as one f32 vector ([`Trainer::flat_gradients_spec`]); the
    /// mean of these vectors over processes is what [`Trainer::update`] takes. Donates nothing.
    pub fn gradients<'t>(&self, phase: Phase, state: &State<Tensor<'t>>, batch: &Batch<Tensor<'t>>) -> Tensor<'t> {
        let flat = self.join(&self.batch_gradients(phase, state, batch));
        if self.config.devices == 1 { flat } else { flat.all_reduce_mean(self.config.devices) }
    }

    /// The state after the update by averaged gradients: donate the state.
    pub fn update<'t>(
        &self,
        phase: Phase,
        state: State<Tensor<'t>>,
        flat_gradients: Tensor<'t>,
    ) -> (State<Tensor<'t>>, Metrics<Tensor<'t>>) {
        state.step.trace().scope("update", || self.apply(phase, state, &self.split(flat_gradients)))
    }

    /// The state at the start of the TwinFlow phase: the teacher is a copy of the model, its decay starts anew.
    pub fn begin_twinflow<'t>(&self, state: State<Tensor<'t>>) -> State<Tensor<'t>> {
        State {
            phase: state.phase.full_like(f64::from(Phase::TwinFlow as i32)),
            teacher: state.teacher.as_ref().map(|_| state.params.clone()),
            teacher_decay: state.teacher_decay.full_like(self.first_teacher_decay()),
            ..state
        }
    }

    /// Optimizer, then both averages. Where loss or gradients are not finite, nothing but `step` changes, so that the
    /// state can still be saved and a skipped step does no harm.
    fn apply<'t>(
        &self,
        phase: Phase,
        state: State<Tensor<'t>>,
        gradients: &Gradients<Tensor<'t>>,
    ) -> (State<Tensor<'t>>, Metrics<Tensor<'t>>) {
        let update = self.optimizer.update(state.step, &state.params, &gradients.params, &state.optimizer);
        let ema_decay = AverageDecay(self.config.ema_decay).at(state.optimizer.updates);
        let (teacher, teacher_decay) = self.next_teacher(phase, &state, &update.params);
        let next = State {
            step: state.step + 1.0,
            phase: state.phase,
            ema: moving_average(&state.ema, &update.params, ema_decay),
            params: update.params,
            teacher,
            teacher_decay,
            optimizer: update.state,
            key: state.key,
        };
        let finite = is_finite(update.grad_norm).and(is_finite(gradients.terms.loss));
        let metrics = Metrics {
            terms: gradients.terms.clone(),
            grad_norm: update.grad_norm,
            learning_rate: update.learning_rate,
            applied: finite.convert(DType::F32),
        };
        let step = next.step;
        (State { step, ..choose(finite, &next, &state) }, metrics)
    }

    /// The teacher after the update to `params`; it follows only in the TwinFlow phase, where it is used.
    fn next_teacher<'t>(
        &self,
        phase: Phase,
        state: &State<Tensor<'t>>,
        params: &Params<Tensor<'t>>,
    ) -> (Option<Params<Tensor<'t>>>, Tensor<'t>) {
        let teaching = Teaching::new(&self.config.twinflow).filter(|_| phase == Phase::TwinFlow);
        match (&state.teacher, teaching) {
            (Some(teacher), Some(teaching)) => {
                let next = moving_average(teacher, params, state.teacher_decay);
                (Some(next), teaching.next_decay(state.teacher_decay))
            }
            (teacher, _) => (teacher.clone(), state.teacher_decay),
        }
    }
}

/// False for NaN too.
fn is_finite(x: Tensor<'_>) -> Tensor<'_> {
    x.abs().lt(f64::INFINITY)
}

/// `on_true` where the scalar `condition` holds, else `on_false`, leaf by leaf.
fn choose<'t>(condition: Tensor<'t>, on_true: &State<Tensor<'t>>, on_false: &State<Tensor<'t>>) -> State<Tensor<'t>> {
    let mut others = leaves(on_false).into_iter();
    map(on_true, |_, leaf| {
        let other = *others.next().expect("both are states of one trainer");
        condition.broadcast_to(leaf.shape()).select(*leaf, other)
    })
}
