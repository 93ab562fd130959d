//! The training loop.

use std::time::Instant;

use miette::{Diagnostic, Result};
use twinflow_array::HostArray;
use twinflow_checkpoints::Retention;
use twinflow_data::PrefetchLoader;
use twinflow_graphs::step::{Metrics, Phase};

use super::{
    batches,
    engine::{Engine, StepOutcome},
    hooks::{DrawCurves, DrawSamples, Ending, Hook, SaveCheckpoints, StepInfo, WriteEvents, WriteReport},
    progress::Progress,
    setup::Setup,
    stop::StopRequest,
};
use crate::{
    config::{Config, NonFinite},
    environment::Environment,
    metrics::{MetricsLog, StepMetrics},
    pictures::classes_note,
    programs::phase_name,
    run_folder::RunFolder,
    said::Said,
    tensorboard::EventFile,
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
struct NotFinite {
    step: u64,
    term: String,
    value: f64,
}

/// Trains until the last step or a signal.
pub fn run(world: &World, setup: Setup) -> Result<()> {
    let Setup { config, trainer, loader, devices, state, step: first_step, folder, owned_folder } = setup;
    let stop = StopRequest::listen().said()?;
    let plan = loader.plan().clone();
    let mut loader = PrefetchLoader::start(loader, first_step, PREFETCH).said()?;
    let mut engine = Engine::new(&trainer, &devices, world, &state)?;
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
    if let Some(folder) = &owned_folder {
        Environment::find(world, &devices, first_step).append(&folder.environment())?;
    }
    let mut observers = Observers::new(world, &config, owned_folder.as_ref(), first_step, drawing)?;
    observers.progress.say(&format!("run folder {}", folder.display()));
    let mut step_began = Instant::now();
    for step in first_step..config.train.steps {
        let phase = trainer.phase_at(step);
        if phase == Phase::TwinFlow && in_phase != Phase::TwinFlow as i32 {
            engine.begin_twinflow()?;
            in_phase = Phase::TwinFlow as i32;
        }
        if !engine.is_ready_for(phase) {
            observers.progress.say(&format!("compiling the {} step ...", phase_name(phase)));
            engine.prepare(phase)?;
        }
        let batch = batches::upload(&loader.next_batch().said()?, step, plan.global_batch(), devices.all())?;
        let outcome = engine.step(batch)?;
        // Signals reach the ranks at different times; all stop after the same step.
        let agreed = Instant::now();
        let stopped = world.all_reduce_max(stop.is_made().into()) > 0;
        let seconds = step_began.elapsed().as_secs_f64();
        step_began = Instant::now();
        let communication = (outcome.communication + agreed.elapsed()).as_secs_f64();
        let metrics = step_metrics(step + 1, phase, &outcome, plan.global_batch(), seconds, communication);
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
        config: &Config,
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

fn step_metrics(
    step: u64,
    phase: Phase,
    outcome: &StepOutcome,
    batch: usize,
    seconds: f64,
    communication_seconds: f64,
) -> StepMetrics {
    let Metrics { terms, grad_norm, learning_rate, applied } = &outcome.metrics;
    let named = [
        ("loss_base", &terms.base),
        ("loss_adversarial", &terms.adv),
        ("loss_rectify", &terms.rectify),
        ("self_play_gap", &terms.self_play_gap),
    ];
    StepMetrics {
        step,
        phase: phase_name(phase).to_owned(),
        loss: scalar(&terms.loss),
        terms: named.map(|(name, value)| (name.to_owned(), scalar(value))).into(),
        grad_norm: scalar(grad_norm),
        learning_rate: scalar(learning_rate),
        samples_per_second: batch as f64 / seconds,
        step_seconds: seconds,
        communication_seconds,
        skipped: scalar(applied) == 0.0,
    }
}
