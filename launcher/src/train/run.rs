//! The training loop.

use std::time::Instant;

use indexmap::IndexMap;
use miette::Result;
use twinflow_array::HostArray;
use twinflow_data::PrefetchLoader;
use twinflow_runtime::{
    console::OrReport,
    engine::{Engine, StepOutcome},
    programs::phase_name,
    upload::Uploader,
    world::World,
};
use twinflow_training::{Metrics, Trainer};

use super::{observers::Observers, setup::Setup, skipped::NotFinite, stop::StopRequest};
use crate::{
    config::TrainConfig,
    hooks::{DrawSamples, Ending, is_due},
    metrics::StepMetrics,
    pictures::classes_note,
    stderr_filter::StderrFilter,
};

/// Batches made ahead by the background thread.
const PREFETCH: usize = 2;

/// Trains until the last step or a signal.
///
/// # Errors
/// Data, device, MPI or files failed; the loss is not finite where the settings do not bear that.
pub fn run(world: &World, stop: &StopRequest, setup: Setup) -> Result<Ending> {
    let _filter = StderrFilter::start().or_report()?;
    let Setup { config, trainer, loader, devices, state, step: first_step, folder, owned_folder } = setup;
    let plan = loader.plan().clone();
    let mut loader = PrefetchLoader::start(loader, first_step, PREFETCH).or_report()?;
    let mut engine = Engine::new(trainer.clone(), devices.clone(), world, &state)?;
    let mut in_phase = state.phase.to_f64()[0] as usize;
    let uploader = Uploader::new(trainer.batch_spec(), plan.global_batch(), config.data.classes);
    let model = config.model()?;
    let drawing = DrawSamples {
        folder: folder.join("samples"),
        every: config.train.sample_every,
        trainer: &trainer,
        model: &model,
        devices: &devices,
        config: config.sample.clone(),
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
            observers.progress.say(&format!("compiling the {} step ...", phase_name(&trainer, phase)));
            match stop.unless_made(world, engine.compiling(phase))? {
                Some(programs) => engine.install(phase, programs),
                None => return observers.stop(&engine, &folder),
            }
        }
        if phase != in_phase {
            engine.begin(phase)?;
            in_phase = phase;
        }
        let batch = uploader.upload(&loader.next_batch().or_report()?, step, devices.all())?;
        let deaf = Instant::now();
        let outcome = engine.step(batch)?;
        observers.note_grace(deaf.elapsed());
        let agreed = Instant::now();
        let stopped = stop.is_agreed(world);
        let seconds = step_began.elapsed().as_secs_f64();
        step_began = Instant::now();
        let communication = (outcome.communication + agreed.elapsed()).as_secs_f64();
        let metrics = step_metrics(step + 1, &trainer, phase, &outcome, plan.global_batch(), seconds, communication);
        let ending = match (step + 1 == config.train.steps, stopped) {
            (true, _) => Some(Ending::Finished),
            (false, true) => Some(Ending::Stopped),
            (false, false) => None,
        };
        let cause = metrics.skipped.then(|| NotFinite::of(&metrics));
        if let Err(error) = observers.bear(cause, step + 1, &config.train, ending == Some(Ending::Finished)) {
            return world.agree(Err(error));
        }
        observers.on_step(metrics.finite(), &engine, ending)?;
        if ending == Some(Ending::Stopped) {
            return observers.say_stopped(&folder);
        }
    }
    observers.progress.finish();
    let shown = classes_note(config.data.classes).map_or(String::new(), |note| format!(" ({note})"));
    let picture = folder.join("samples/one-step.png");
    observers.progress.say(&format!("done; one-step samples in {}{shown}", picture.display()));
    Ok(Ending::Finished)
}

/// Whether something that takes longer than a step may have come just before this one: setting up, saving, drawing.
fn has_pause_before(step: u64, first_step: u64, train: &TrainConfig) -> bool {
    step == first_step || is_due(step, train.checkpoint_every) || is_due(step, train.sample_every)
}

fn scalar(array: &HostArray) -> f64 {
    array.to_f64()[0]
}

/// The terms of all phases; those that this phase's method does not have are 0.
fn terms(trainer: &Trainer, metrics: &Metrics<HostArray>) -> IndexMap<String, f64> {
    let value = |name: &str| {
        let found = metrics.terms.paths().position(|path| path.as_str() == name);
        found.map_or(0.0, |index| scalar(&metrics.terms.leaves()[index]))
    };
    trainer.term_names().into_iter().map(|name| (name.to_owned(), value(name))).collect()
}

fn step_metrics(
    step: u64,
    trainer: &Trainer,
    phase: usize,
    outcome: &StepOutcome,
    batch: usize,
    seconds: f64,
    communication_seconds: f64,
) -> StepMetrics {
    let metrics = &outcome.metrics;
    StepMetrics {
        step,
        phase: phase_name(trainer, phase).to_owned(),
        loss: scalar(&metrics.loss),
        terms: terms(trainer, metrics),
        grad_norm: scalar(&metrics.grad_norm),
        learning_rate: scalar(&metrics.learning_rate),
        samples_per_second: batch as f64 / seconds,
        step_seconds: seconds,
        communication_seconds,
        skipped: scalar(&metrics.applied) == 0.0,
    }
}
