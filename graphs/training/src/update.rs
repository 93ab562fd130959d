//! State updates.

use twinflow_array::{DType, Tree, leaves, map};
use twinflow_compiler::Tensor;
use twinflow_methods::moving_average;

use crate::{Batch, Gradients, Metrics, State, Trainer, optim::AverageDecay};

impl Trainer {
    /// One training step on one device's batch, as a single program: donate the state. With several devices the
    /// gradients are averaged over them inside.
    pub fn step<'t>(
        &self,
        phase: usize,
        state: State<Tensor<'t>>,
        batch: &Batch<Tensor<'t>>,
    ) -> (State<Tensor<'t>>, Metrics<Tensor<'t>>) {
        let gradients = self.gradients(phase, &state, batch);
        self.update(phase, state, &gradients)
    }

    /// The state after the update by averaged gradients: donate the state.
    ///
    /// Optimizer, then the average, then what the method keeps. Where loss or gradients are not finite, nothing but
    /// `step` changes, so that the state can still be saved and a skipped step does no harm.
    pub fn update<'t>(
        &self,
        phase: usize,
        state: State<Tensor<'t>>,
        gradients: &Gradients<Tensor<'t>>,
    ) -> (State<Tensor<'t>>, Metrics<Tensor<'t>>) {
        let trace = state.step.trace();
        trace.scope("update", || {
            let update = self.optimizer.update(state.step, &state.trained, &gradients.params, &state.optimizer);
            let ema_decay = AverageDecay(self.config.ema_decay).at(state.optimizer.updates);
            let own = self.method(phase).after_update(self.method_state(phase, &state.method), &update.params);
            let finite = is_finite(update.grad_norm).and(is_finite(gradients.loss));
            let next = (
                update.params.clone(),
                moving_average(&state.ema, &update.params, ema_decay),
                update.state,
                self.with_method_state(phase, &state.method, &own),
            );
            let before = (state.trained, state.ema, state.optimizer, state.method);
            let (trained, ema, optimizer, method) = choose(finite, &next, &before);
            let metrics = Metrics {
                loss: gradients.loss,
                terms: gradients.terms.clone(),
                grad_norm: update.grad_norm,
                learning_rate: update.learning_rate,
                applied: finite.convert(DType::F32),
            };
            let next = State {
                step: state.step + 1.0,
                phase: state.phase,
                trained,
                frozen: state.frozen,
                method,
                ema,
                optimizer,
                key: state.key,
            };
            (next, metrics)
        })
    }
}

/// False for NaN too.
fn is_finite(x: Tensor<'_>) -> Tensor<'_> {
    x.abs().lt(f64::INFINITY)
}

/// `on_true` where the scalar `condition` holds, else `on_false`, leaf by leaf.
fn choose<'t, T: Tree<Leaf = Tensor<'t>>>(condition: Tensor<'t>, on_true: &T, on_false: &T) -> T::Rebind<Tensor<'t>> {
    let mut others = leaves(on_false).into_iter();
    map(on_true, |_, leaf| {
        let other = *others.next().expect("both are states of one trainer");
        condition.broadcast_to(leaf.shape()).select(*leaf, other)
    })
}
