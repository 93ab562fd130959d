//! The training loop.

use std::time::Instant;

use miette::{Diagnostic, Result};
use indexmap::IndexMap;
use twinflow_array::HostArray;
use twinflow_checkpoints::Retention;
use twinflow_data::PrefetchLoader;
use twinflow_runtime::{
    console::OrReport,
    engine::{Engine, StepOutcome},
    programs::phase_name,
    upload::Uploader,
    world::World,
};
use twinflow_training::{Metrics, Trainer};

use super::{
    hooks::{DrawCurves, DrawSamples, Ending, Hook, SaveCheckpoints, StepInfo, WriteEvents, WriteReport},
    progress::Progress,
    setup::Setup,
    stop::StopRequest,
};
use crate::{
    config::{NonFinite, ResolvedConfig},
    environment::Environment,
    metrics::{MetricsLog, StepMetrics},
    pictures::classes_note,
    run_folder::RunFolder,
    tensorboard::EventFile,
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
struct NotFinite {
    step: u64,
    term: String,
    value: f64,
}

/// Trains until the last step or a signal.
pub fn run(world: &World, setup: Setup) -> Result<()> {
    let Setup { config, trainer, loader, devices, state, step: first_step, folder, owned_folder } = setup;
    let stop = StopRequest::listen().or_report()?;
    let plan = loader.plan().clone();
    let mut loader = PrefetchLoader::start(loader, first_step, PREFETCH).or_report()?;
    let mut engine = Engine::new(&trainer, &devices, world, &state)?;
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
    if let Some(folder) = &owned_folder {
        Environment::find(world, &devices, first_step).append(&folder.environment())?;
    }
    let mut observers = Observers::new(world, &config, owned_folder.as_ref(), first_step, drawing)?;
    observers.progress.say(&format!("run folder {}", folder.display()));
    let mut step_began = Instant::now();
    for step in first_step..config.train.steps {
        let phase = trainer.phase_at(step);
        if phase != in_phase {
            engine.begin(phase)?;
            in_phase = phase;
        }
        if !engine.is_ready_for(phase) {
            observers.progress.say(&format!("compiling the {} step ...", phase_name(&trainer, phase)));
            engine.prepare(phase)?;
        }
        let batch = uploader.upload(&loader.next_batch().or_report()?, step, devices.all())?;
        let outcome = engine.step(batch)?;
        // Signals reach the ranks at different times; all stop after the same step.
        let agreed = Instant::now();
        let stopped = world.all_reduce_max(stop.is_made().into()) > 0;
        let seconds = step_began.elapsed().as_secs_f64();
        step_began = Instant::now();
        let communication = (outcome.communication + agreed.elapsed()).as_secs_f64();
        let metrics = step_metrics(step + 1, &trainer, phase, &outcome, plan.global_batch(), seconds, communication);
        if metrics.skipped && config.train.non_finite == NonFinite::Stop {
            let (term, value) = metrics.first_not_finite().unwrap_or(("grad_norm", f64::NAN));
            return world.agree(Err(NotFinite { step: step + 1, term: term.to_owned(), value }.into()));
        }
        let ending = match (step + 1 == config.train.steps, stopped) {
            (true, _) => Some(Ending::Finished),
            (false, true) => Some(Ending::Stopped),
            (false, false) => None,
        };
        observers.on_step(&metrics.finite(), &engine, ending)?;
        if ending == Some(Ending::Stopped) {
            observers.progress.finish();
            let resume = format!("twinflow-xla train --resume {}", folder.display());
            observers
                .progress
                .say(&format!("stopped by a signal; saved after step {}. Go on with: {resume}", step + 1));
            return Ok(());
        }
    }
    observers.progress.finish();
    let shown = classes_note(config.data.classes).map_or(String::new(), |note| format!(" ({note})"));
    let picture = folder.join("samples/one-step.png");
    observers.progress.say(&format!("done; one-step samples in {}{shown}", picture.display()));
    Ok(())
}

/// What watches the steps; only rank 0's writes anything.
struct Observers<'a> {
    log: Option<MetricsLog>,
    hooks: Vec<Box<dyn Hook + 'a>>,
    progress: Progress,
}

impl<'a> Observers<'a> {
    fn new(
        world: &World,
        config: &ResolvedConfig,
        folder: Option<&RunFolder>,
        first_step: u64,
        drawing: DrawSamples<'a>,
    ) -> Result<Self> {
        let train = &config.train;
        let progress = Progress::new(first_step, train.steps, train.log_every, !world.is_root());
        let Some(folder) = folder else { return Ok(Observers { log: None, hooks: Vec::new(), progress }) };
        let saving = SaveCheckpoints {
            folder: folder.checkpoints(),
            every: train.checkpoint_every,
            retention: Retention {
                keep_last: train.keep_last,
                keep_every: Some(train.keep_every).filter(|every| *every > 0),
            },
            config: config.to_toml(),
            world_size: world.size(),
        };
        let curves = DrawCurves { picture: folder.samples().join("loss.png"), every: train.checkpoint_every };
        let events = WriteEvents(EventFile::create(&folder.tensorboard(), first_step)?);
        let report = WriteReport { run: folder.path().to_owned() };
        // The checkpoint comes first: pictures may wait, the state may not.
        let hooks: Vec<Box<dyn Hook + 'a>> =
            vec![Box::new(saving), Box::new(drawing), Box::new(events), Box::new(curves), Box::new(report)];
        Ok(Observers { log: Some(MetricsLog::open(&folder.metrics(), first_step)?), hooks, progress })
    }

    fn on_step(&mut self, metrics: &StepMetrics, engine: &Engine<'_>, ending: Option<Ending>) -> Result<()> {
        if metrics.skipped {
            tracing::warn!(step = metrics.step, "loss or gradient is not finite; the update is left out");
        }
        self.progress.on_step(metrics);
        let Some(log) = &mut self.log else { return Ok(()) };
        log.append(metrics)?;
        let mut info = StepInfo { metrics, history: log.history(), state: engine.state(), ending, picture: None };
        self.hooks.iter_mut().try_for_each(|hook| hook.on_step(&mut info))
    }
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
