//! What watches the steps; only rank 0's writes anything.

use std::{path::Path, time::Duration};

use miette::Result;
use twinflow_checkpoints::Retention;
use twinflow_runtime::{engine::Engine, model::Model, world::World};

use super::{
    grace,
    progress::Progress,
    skipped::{NotFinite, Skipped},
};
use crate::{
    config::{NonFinite, ResolvedConfig, TrainConfig},
    hooks::{DrawCurves, DrawSamples, Ending, EventFile, Hook, SaveCheckpoints, StepInfo, WriteEvents, WriteReport},
    metrics::{MetricsLog, StepMetrics},
    pictures::classes_note,
    run_folder::RunFolder,
};

pub struct Observers<'a> {
    log: Option<MetricsLog>,
    saving: Option<SaveCheckpoints>,
    hooks: Vec<Box<dyn Hook + 'a>>,
    pub progress: Progress,
    skipped: Skipped,
    /// What the newest step showed; none before the first.
    last: Option<StepMetrics>,
    /// Whether the user knows how long mpirun waits.
    grace_is_noted: bool,
}

impl<'a> Observers<'a> {
    pub fn new(
        world: &World,
        config: &ResolvedConfig,
        folder: Option<&RunFolder>,
        first_step: u64,
        model: &Model,
        drawing: DrawSamples<'a>,
    ) -> Result<Self> {
        let train = &config.train;
        let mut observers = Observers {
            log: None,
            saving: None,
            hooks: Vec::new(),
            progress: Progress::new(first_step, train.steps, train.log_every, !world.is_root()),
            skipped: Skipped::default(),
            last: None,
            grace_is_noted: false,
        };
        if let Some(folder) = folder {
            observers.log = Some(MetricsLog::open(&folder.metrics(), first_step)?);
            observers.saving = Some(saving(config, folder, world, model));
            observers.hooks = hooks(train, folder, first_step, drawing)?;
        }
        Ok(observers)
    }

    /// Says what the run is.
    pub fn begin(&self, folder: &Path, notes: &[&str]) {
        self.progress.say(&format!("run folder {}", folder.display()));
        notes.iter().for_each(|note| self.progress.say(note));
    }

    /// Counts a step, skipped or not.
    ///
    /// # Errors
    /// It was skipped and the settings do not bear it; the same on all ranks.
    pub fn bear(&mut self, metrics: &StepMetrics, train: &TrainConfig, ending: Option<Ending>) -> Result<()> {
        let cause = metrics.skipped.then(|| NotFinite::of(metrics));
        match cause {
            Some(cause) if train.non_finite == NonFinite::Stop => Err(cause.into()),
            cause => {
                let cause = cause.map(|cause| format!("{} is {}", cause.term, cause.value));
                let is_last = ending == Some(Ending::Finished);
                Ok(self.skipped.count(metrics.step, cause, train.max_skipped, is_last)?)
            }
        }
    }

    pub fn on_step(&mut self, metrics: StepMetrics, engine: &Engine<'_>, ending: Option<Ending>) -> Result<()> {
        if metrics.skipped {
            tracing::warn!(step = metrics.step, "loss or gradient is not finite; the update is left out");
        }
        self.progress.on_step(&metrics, self.skipped.total);
        if let Some(log) = &mut self.log {
            log.append(&metrics)?;
            let (history, state) = (log.history(), engine.state());
            let mut info = StepInfo { metrics: &metrics, history, state, ending, picture: None };
            // The checkpoint comes first: pictures may wait, the state may not.
            self.saving.iter_mut().try_for_each(|saving| saving.on_step(&mut info))?;
            self.hooks.iter_mut().try_for_each(|hook| hook.on_step(&mut info))?;
        }
        self.last = Some(metrics);
        Ok(())
    }

    /// Says once how long mpirun waits, if a step takes so long that a signal may come too early.
    pub fn note_grace(&mut self, step: Duration) {
        if let Some(warning) = grace::warning(step).filter(|_| !self.grace_is_noted) {
            self.progress.say(&warning);
            self.grace_is_noted = true;
        }
    }

    /// Ends a run between two steps: saves what the last one left unsaved.
    ///
    /// # Errors
    /// The disk's.
    pub fn stop(&mut self, engine: &Engine<'_>, folder: &Path) -> Result<Ending> {
        if let (Some(saving), Some(metrics)) = (&mut self.saving, &self.last) {
            saving.save_late(metrics, engine.state())?;
        }
        Ok(self.say_stopped(folder))
    }

    /// Says that all steps are made, and what they took.
    pub fn finish(&self, folder: &Path, classes: usize, peak_memory: Option<u64>) -> Ending {
        let note = classes_note(classes).map_or(String::new(), |note| format!(" ({note})"));
        let peak = peak_memory.map_or(String::new(), |peak| {
            format!("; at most {:.2} GB of a device's memory were in use", peak as f64 / 1e9)
        });
        let picture = folder.join("samples/one-step.png");
        self.progress.finish();
        self.progress.say(&format!("done; one-step samples in {}{note}{peak}", picture.display()));
        Ending::Finished
    }

    /// Says how to go on.
    pub fn say_stopped(&self, folder: &Path) -> Ending {
        let saved = match &self.last {
            Some(metrics) => format!("saved after step {}", metrics.step),
            None => "no step was made".to_owned(),
        };
        let resume = format!("twinflow-xla train --resume {}", folder.display());
        self.progress.finish();
        self.progress.say(&format!("stopped by a signal; {saved}. Go on with: {resume}"));
        Ending::Stopped
    }
}

fn saving(config: &ResolvedConfig, folder: &RunFolder, world: &World, model: &Model) -> SaveCheckpoints {
    let train = &config.train;
    let keep_every = Some(train.keep_every).filter(|every| *every > 0);
    SaveCheckpoints {
        folder: folder.checkpoints(),
        every: train.checkpoint_every,
        retention: Retention { keep_last: train.keep_last, keep_every },
        config: config.to_toml(),
        world_size: world.size(),
        tokenizer: model.tokenizer().map(|tokenizer| tokenizer.json().to_owned()),
    }
}

fn hooks<'a>(
    train: &TrainConfig,
    folder: &RunFolder,
    first_step: u64,
    drawing: DrawSamples<'a>,
) -> Result<Vec<Box<dyn Hook + 'a>>> {
    let curves = DrawCurves { picture: folder.samples().join("loss.png"), every: train.checkpoint_every };
    let events = WriteEvents(EventFile::create(&folder.tensorboard(), first_step)?);
    let report = WriteReport { run: folder.path().to_owned() };
    Ok(vec![Box::new(drawing), Box::new(events), Box::new(curves), Box::new(report)])
}
