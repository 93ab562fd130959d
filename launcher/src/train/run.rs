//! The training loop.

use std::time::Instant;

use miette::{Diagnostic, Result};
use twinflow_array::HostArray;
use twinflow_data::PrefetchLoader;
use twinflow_graphs::step::{Metrics, Phase};

use super::{
    batches,
    engine::{Engine, StepOutcome},
    hooks::{DrawSamples, Ending, is_due},
    observers::Observers,
    setup::Setup,
    stop::StopRequest,
};
use crate::{
    config::TrainConfig, metrics::StepMetrics, programs::phase_name, said::Said, stderr_filter::StderrFilter,
    world::World,
};

/// Batches made ahead by the background thread.
const PREFETCH: usize = 2;

/// Loss or gradient that is not finite, where the settings say to stop.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("step {step}: {term} is {value}; the run stops, and nothing of this step is saved")]
#[diagnostic(help(
    "{}lower optimizer.learning_rate or set optimizer.clip_norm; train.non_finite=\"skip\" leaves out such steps",
    if *.step > 1 { "resume from the last checkpoint with other settings, by --resume and --set: " } else { "" }
))]
pub struct NotFinite {
    step: u64,
    pub term: &'static str,
    pub value: f64,
}

/// Trains until the last step or a signal.
///
/// # Errors
/// Data, device, MPI or files failed; the loss is not finite where the settings do not bear that.
pub fn run(world: &World, stop: &StopRequest, setup: Setup) -> Result<Ending> {
    let _filter = StderrFilter::start().said()?;
    let Setup { config, trainer, loader, devices, state, step: first_step, folder, owned_folder } = setup;
    let plan = loader.plan().clone();
    let mut loader = PrefetchLoader::start(loader, first_step, PREFETCH).said()?;
    let mut engine = Engine::new(trainer.clone(), devices.clone(), world, &state)?;
    let mut in_phase = state.phase.to_f64()[0] as i32;
    let drawing = DrawSamples {
        folder: folder.join("samples"),
        every: config.train.sample_every,
        trainer: &trainer,
        devices: &devices,
        config: config.sample.clone(),
        shape: config.data.shape(),
        classes: config.data.classes,
        sampler: None,
    };
    let mut observers = Observers::new(world, &config, owned_folder.as_ref(), first_step, drawing)?;
    observers.progress.say(&format!("run folder {}", folder.display()));
    let mut step_began = Instant::now();
    for step in first_step..config.train.steps {
        if has_pause_before(step, first_step, &config.train) && stop.is_agreed(world) {
            return observers.stop(&engine, &folder);
        }
        let phase = trainer.phase_at(step);
        if !engine.is_ready_for(phase) {
            observers.progress.say(&format!("compiling the {} step ...", phase_name(phase)));
            match stop.unless_made(world, engine.compiling(phase))? {
                Some(programs) => engine.install(phase, programs),
                None => return observers.stop(&engine, &folder),
            }
        }
        if phase == Phase::TwinFlow && in_phase != Phase::TwinFlow as i32 {
            engine.begin_twinflow()?;
            in_phase = Phase::TwinFlow as i32;
        }
        let batch = batches::upload(&loader.next_batch().said()?, step, plan.global_batch(), devices.all())?;
        let deaf = Instant::now();
        let outcome = engine.step(batch)?;
        observers.note_grace(deaf.elapsed());
        let agreed = Instant::now();
        let stopped = stop.is_agreed(world);
        let seconds = step_began.elapsed().as_secs_f64();
        step_began = Instant::now();
        let communication = (outcome.communication + agreed.elapsed()).as_secs_f64();
        let metrics = step_metrics(step + 1, phase, &outcome, plan.global_batch(), seconds, communication);
        let ending = match (step + 1 == config.train.steps, stopped) {
            (true, _) => Some(Ending::Finished),
            (false, true) => Some(Ending::Stopped),
            (false, false) => None,
        };
        let cause = metrics.skipped.then(|| first_not_finite(step + 1, &outcome.metrics));
        if let Err(error) = observers.bear(cause, step + 1, &config.train, ending == Some(Ending::Finished)) {
            return world.agree(Err(error));
        }
        observers.on_step(metrics.finite(), &engine, ending)?;
        if ending == Some(Ending::Stopped) {
            return observers.say_stopped(&folder);
        }
    }
    observers.progress.finish();
    observers.progress.say(&format!("done; one-step samples in {}", folder.join("samples/one-step.png").display()));
    Ok(Ending::Finished)
}

/// Whether something that takes longer than a step may have come just before this one: setting up, saving, drawing.
fn has_pause_before(step: u64, first_step: u64, train: &TrainConfig) -> bool {
    step == first_step || is_due(step, train.checkpoint_every) || is_due(step, train.sample_every)
}

fn scalar(array: &HostArray) -> f64 {
    array.to_f64()[0]
}

fn step_metrics(
    step: u64,
    phase: Phase,
    outcome: &StepOutcome,
    batch: usize,
    seconds: f64,
    communication_seconds: f64,
) -> StepMetrics {
    let Metrics { terms, grad_norm, learning_rate, applied } = &outcome.metrics;
    StepMetrics {
        step,
        phase: phase_name(phase).to_owned(),
        loss: scalar(&terms.loss),
        loss_base: scalar(&terms.base),
        loss_adversarial: scalar(&terms.adv),
        loss_rectify: scalar(&terms.rectify),
        grad_norm: scalar(grad_norm),
        self_play_gap: scalar(&terms.self_play_gap),
        learning_rate: scalar(learning_rate),
        samples_per_second: batch as f64 / seconds,
        step_seconds: seconds,
        communication_seconds,
        skipped: scalar(applied) == 0.0,
    }
}

/// The first term that is not finite; the sum and the gradient come after the terms that make them.
fn first_not_finite(step: u64, metrics: &Metrics<HostArray>) -> NotFinite {
    let Metrics { terms, grad_norm, .. } = metrics;
    let named = [
        ("loss_base", &terms.base),
        ("loss_adversarial", &terms.adv),
        ("loss_rectify", &terms.rectify),
        ("loss", &terms.loss),
        ("grad_norm", grad_norm),
    ];
    let found = named.into_iter().map(|(term, array)| (term, scalar(array))).find(|(_, value)| !value.is_finite());
    let (term, value) = found.unwrap_or(("grad_norm", f64::NAN));
    NotFinite { step, term, value }
}
