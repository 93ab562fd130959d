//! Draws samples while training.

use std::path::{Path, PathBuf};

use miette::Result;
use twinflow_array::by_ref;
use twinflow_data::{Source, Visit};
use twinflow_methods::flow::{SampleConfig, SampleStyle};
use twinflow_runtime::{
    console::OrReport,
    devices::Devices,
    model::Model,
    sampler::{Sampler, Subject},
};
use twinflow_training::Trainer;

use super::{Ending, Hook, StepInfo, is_due};
use crate::{
    config::ResolvedConfig,
    pictures::{Picture, captioned, sample_file::picture, shown_classes, spread, to_bytes},
};

/// Prompts in a picture, where the model reads prompts.
const PROMPTS: usize = 24;
const PROMPTS_PER_ROW: usize = 8;

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
    shown: Shown,
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
        shown: Shown,
        devices: &'a Devices,
    ) -> Self {
        DrawSamples {
            folder: run.join("samples"),
            every: config.train.sample_every,
            trainer,
            model,
            devices,
            config: config.sample.clone(),
            shown,
            sampler: None,
        }
    }

    fn compile(&self, config: &SampleConfig) -> Result<Sampler> {
        Sampler::new(self.model, config, self.devices)
    }

    /// The seed is the same every time, so that pictures of one run show how the same samples change.
    fn draw(&self, sampler: &Sampler, info: &StepInfo<'_>, name: &str) -> Result<Picture> {
        let weights = self.trainer.all_params(&by_ref(&info.state.ema), &by_ref(&info.state.frozen));
        let title = format!("step {}, {} phase", info.metrics.step, info.metrics.phase);
        let picture = match &self.shown {
            Shown::Classes(labels) => {
                let labels: Vec<Subject> = labels.iter().copied().map(Subject::Label).collect();
                picture(&sampler.draw(&weights, &labels, self.config.per_class, 0)?, &title)?
            }
            Shown::Prompts(texts, subjects) => {
                let samples = sampler.draw(&weights, subjects, 1, 0)?;
                captioned(&to_bytes(&samples.values), samples.shape, texts, PROMPTS_PER_ROW)?
            }
        };
        picture.write(&self.folder.join(name))?;
        Ok(picture)
    }
}

/// What the pictures of a run show.
pub enum Shown {
    /// Classes, a row for each.
    Classes(Vec<i32>),
    /// Prompts, as text and as the network reads them.
    Prompts(Vec<String>, Vec<Subject>),
}

impl Shown {
    /// Captions of the dataset, spread evenly, for a network that reads prompts; else classes.
    ///
    /// # Errors
    /// The tokenizer's.
    pub fn of(source: &dyn Source, model: &Model) -> Result<Self> {
        let samples = source.samples().unwrap_or(0) as usize;
        let caption = |index: usize| source.caption(Visit::first(index as u64));
        let captions: Vec<String> = spread(samples, PROMPTS.min(samples)).filter_map(caption).collect();
        let encode = |text: &String| Ok(model.encode(text).or_report()?.map(|encoded| Subject::prompt(text, encoded)));
        let prompts: Vec<Subject> =
            captions.iter().filter_map(|text| encode(text).transpose()).collect::<Result<_>>()?;
        Ok(match prompts.is_empty() {
            true => Shown::Classes(shown_classes(source.classes())),
            false => Shown::Prompts(captions, prompts),
        })
    }
}

/// The same settings with a single call.
fn one_step(config: &SampleConfig) -> SampleConfig {
    let style = SampleStyle::Few;
    SampleConfig { nfe: 1, style, second_order: false, extrapolation: 0.0, stochastic_ratio: 0.0, ..config.clone() }
}
