//! What watches the steps; only rank 0's writes anything.

use std::{path::Path, time::Duration};

use miette::Result;
use twinflow_checkpoints::Retention;
use twinflow_runtime::{engine::Engine, world::World};

use super::{
    grace,
    progress::Progress,
    skipped::{NotFinite, Skipped},
};
use crate::{
    config::{NonFinite, ResolvedConfig, TrainConfig},
    hooks::{DrawCurves, DrawSamples, Ending, EventFile, Hook, SaveCheckpoints, StepInfo, WriteEvents, WriteReport},
    metrics::{MetricsLog, StepMetrics},
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
            observers.saving = Some(saving(config, folder, world));
            observers.hooks = hooks(train, folder, first_step, drawing)?;
        }
        Ok(observers)
    }

    /// Counts a step that was skipped for `cause`, or was not.
    ///
    /// # Errors
    /// The settings do not bear it; the same on all ranks.
    pub fn bear(&mut self, cause: Option<NotFinite>, step: u64, train: &TrainConfig, ends: bool) -> Result<()> {
        match cause {
            Some(cause) if train.non_finite == NonFinite::Stop => Err(cause.into()),
            cause => {
                let cause = cause.map(|cause| format!("{} is {}", cause.term, cause.value));
                Ok(self.skipped.count(step, cause, train.max_skipped, ends)?)
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
        self.say_stopped(folder)
    }

    /// Says how to go on.
    ///
    /// # Errors
    /// None.
    pub fn say_stopped(&self, folder: &Path) -> Result<Ending> {
        let saved = match &self.last {
            Some(metrics) => format!("saved after step {}", metrics.step),
            None => "no step was made".to_owned(),
        };
        let resume = format!("twinflow-xla train --resume {}", folder.display());
        self.progress.finish();
        self.progress.say(&format!("stopped by a signal; {saved}. Go on with: {resume}"));
        Ok(Ending::Stopped)
    }
}

fn saving(config: &ResolvedConfig, folder: &RunFolder, world: &World) -> SaveCheckpoints {
    let train = &config.train;
    let keep_every = Some(train.keep_every).filter(|every| *every > 0);
    SaveCheckpoints {
        folder: folder.checkpoints(),
        every: train.checkpoint_every,
        retention: Retention { keep_last: train.keep_last, keep_every },
        config: config.to_toml(),
        world_size: world.size(),
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
