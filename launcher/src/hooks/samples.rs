//! Draws samples while training.

use std::path::{Path, PathBuf};

use miette::Result;
use twinflow_array::by_ref;
use twinflow_methods::flow::{SampleConfig, SampleStyle};
use twinflow_runtime::{devices::Devices, model::Model, sampler::Sampler};
use twinflow_training::Trainer;

use super::{Ending, Hook, StepInfo, is_due};
use crate::{
    config::ResolvedConfig,
    pictures::{Picture, sample_file::picture, shown_classes},
};

/// Draws a picture every `every` steps, and at the end one made by single network calls.
pub struct DrawSamples<'a> {
    folder: PathBuf,
    /// Steps between pictures; 0: only at the end.
    every: u64,
    /// Which of the parameters are trained.
    trainer: &'a Trainer,
    model: &'a Model,
    devices: &'a Devices,
    config: SampleConfig,
    classes: usize,
    /// Compiled when first needed.
    sampler: Option<Sampler>,
}

impl Hook for DrawSamples<'_> {
    fn on_step(&mut self, info: &mut StepInfo<'_>) -> Result<()> {
        let step = info.metrics.step;
        if info.ending == Some(Ending::Stopped) {
            return Ok(());
        }
        if is_due(step, self.every) {
            let sampler = match self.sampler.take() {
                Some(sampler) => sampler,
                None => self.compile(&self.config)?,
            };
            info.picture = Some(self.draw(&sampler, info, &format!("step-{step:08}.png"))?);
            self.sampler = Some(sampler);
        }
        if info.ending == Some(Ending::Finished) {
            let sampler = self.compile(&one_step(&self.config))?;
            self.draw(&sampler, info, "one-step.png")?;
        }
        Ok(())
    }
}

impl<'a> DrawSamples<'a> {
    /// Pictures as the settings say, in the run's folder.
    pub fn new(
        run: &Path,
        config: &ResolvedConfig,
        trainer: &'a Trainer,
        model: &'a Model,
        devices: &'a Devices,
    ) -> Self {
        DrawSamples {
            folder: run.join("samples"),
            every: config.train.sample_every,
            trainer,
            model,
            devices,
            config: config.sample.clone(),
            classes: config.data.classes,
            sampler: None,
        }
    }

    fn compile(&self, config: &SampleConfig) -> Result<Sampler> {
        Sampler::new(self.model, config, self.devices)
    }

    /// The seed is the same every time, so that pictures of one run show how the same samples change.
    fn draw(&self, sampler: &Sampler, info: &StepInfo<'_>, name: &str) -> Result<Picture> {
        let weights = self.trainer.all_params(&by_ref(&info.state.ema), &by_ref(&info.state.frozen));
        let samples = sampler.draw(&weights, &shown_classes(self.classes), self.config.per_class, 0)?;
        let picture = picture(&samples, &format!("step {}, {} phase", info.metrics.step, info.metrics.phase))?;
        picture.write(&self.folder.join(name))?;
        Ok(picture)
    }
}

/// The same settings with a single call.
fn one_step(config: &SampleConfig) -> SampleConfig {
    let style = SampleStyle::Few;
    SampleConfig { nfe: 1, style, second_order: false, extrapolation: 0.0, stochastic_ratio: 0.0, ..config.clone() }
}
