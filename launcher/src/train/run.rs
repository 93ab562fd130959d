//! The training loop.

use std::time::Instant;

use indexmap::IndexMap;
use miette::Result;
use twinflow_array::HostArray;
use twinflow_data::{PrefetchLoader, Source, Visit};
use twinflow_runtime::{
    console::OrReport, engine::Engine, model::Model, programs::phase_name, upload::Uploader, world::World,
};
use twinflow_training::{Metrics, Trainer};

use super::{observers::Observers, setup::Setup, stop::StopRequest};
use crate::{
    config::TrainConfig,
    hooks::{DrawSamples, Ending, Shown, is_due},
    metrics::StepMetrics,
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
    let Setup { config, trainers, loader, devices, state, step: first_step, folder, owned_folder } = setup;
    let trainer = &trainers[0];
    let batch_size = loader.plan().global_batch();
    let model = config.model()?.with_tokenizer(loader.source().tokenizer().cloned());
    let shown = Shown::of(loader.source(), &model)?;
    let notes: Vec<&str> = config.precision_note().into_iter().chain(unread(loader.source(), &model)).collect();
    let mut loader = PrefetchLoader::start(loader, first_step, PREFETCH).or_report()?;
    let mut engine = Engine::new(trainers.clone(), devices.clone(), world, &state)?;
    let specs = trainers.iter().map(Trainer::batch_spec).collect();
    let uploader = Uploader::new(specs, batch_size, model.null_condition().or_report()?);
    let drawing = DrawSamples::new(&folder, &config, trainer, &model, shown, &devices);
    let mut observers = Observers::new(world, &config, owned_folder.as_ref(), first_step, &model, drawing)?;
    observers.begin(&folder, &notes);
    let mut step_began = Instant::now();
    for step in first_step..config.train.steps {
        let phase = trainer.phase_at(step);
        let stopped = has_pause_before(step, first_step, &config.train) && stop.is_agreed(world);
        let bucket = loader.loader().buckets().of_step(step);
        if stopped || !enter((phase, bucket), &mut engine, &trainers, world, stop, &observers)? {
            return observers.stop(&engine, &folder);
        }
        let batch = uploader.upload(&loader.next_batch().or_report()?, (step, bucket), devices.all())?;
        let computing = Instant::now();
        let outcome = engine.step(bucket, batch)?;
        observers.note_grace(computing.elapsed());
        let agreeing = Instant::now();
        let stopped = stop.is_agreed(world);
        let communication = outcome.communication + agreeing.elapsed();
        let step_time = std::mem::replace(&mut step_began, Instant::now()).elapsed();
        let metrics = StepMetrics {
            samples_per_second: batch_size as f64 / step_time.as_secs_f64(),
            step_seconds: step_time.as_secs_f64(),
            communication_seconds: communication.as_secs_f64(),
            peak_memory: devices.peak_memory(),
            ..step_metrics(step + 1, trainer, phase, &outcome.metrics)
        };
        let ending = Ending::after(step + 1 == config.train.steps, stopped);
        if let Err(error) = observers.bear(&metrics, &config.train, ending) {
            return world.agree(Err(error));
        }
        observers.on_step(metrics.finite(), &engine, ending)?;
        if ending == Some(Ending::Stopped) {
            return Ok(observers.say_stopped(&folder));
        }
    }
    Ok(observers.finish(&folder, config.data.classes, devices.peak_memory()))
}

/// What to know where a dataset has captions and the network reads none.
fn unread(source: &dyn Source, model: &Model) -> Option<&'static str> {
    let captioned = source.caption(Visit::first(0)).is_some() && model.prompt_tokens() == 0;
    captioned.then_some("the dataset has captions, and this kind of model reads none: pictures are learnt without them")
}

/// Makes a phase the engine's: compiled for a bucket's shape, and begun. False if a signal came first.
fn enter(
    (phase, bucket): (usize, usize),
    engine: &mut Engine<'_>,
    trainers: &[Trainer],
    world: &World,
    stop: &StopRequest,
    observers: &Observers<'_>,
) -> Result<bool> {
    if !engine.is_ready_for(phase, bucket) {
        let (name, [height, width, _]) = (phase_name(&trainers[0], phase), trainers[bucket].sample_shape());
        let shape = if trainers.len() > 1 { format!(" for pictures of {width} x {height}") } else { String::new() };
        observers.progress.say(&format!("compiling the {name} step{shape} ..."));
        let Some(programs) = stop.unless_made(world, engine.compiling(phase, bucket))? else { return Ok(false) };
        engine.install(phase, bucket, programs);
    }
    engine.begin(phase)?;
    Ok(true)
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

/// What the step's program measured; the clock's values are still missing.
fn step_metrics(step: u64, trainer: &Trainer, phase: usize, metrics: &Metrics<HostArray>) -> StepMetrics {
    StepMetrics {
        step,
        phase: phase_name(trainer, phase).to_owned(),
        loss: scalar(&metrics.loss),
        terms: terms(trainer, metrics),
        grad_norm: scalar(&metrics.grad_norm),
        learning_rate: scalar(&metrics.learning_rate),
        skipped: scalar(&metrics.applied) == 0.0,
        samples_per_second: 0.0,
        step_seconds: 0.0,
        communication_seconds: 0.0,
        peak_memory: None,
    }
}
