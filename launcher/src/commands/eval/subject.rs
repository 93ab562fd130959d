//! What an evaluation has in common, whatever the samples are.

use std::{fmt::Display, path::PathBuf};

use miette::{Result, miette};
use serde::Serialize;
use twinflow_array::by_ref;
use twinflow_checkpoints::Checkpoint;
use twinflow_compiler::{pjrt::Buffer, to_device};
use twinflow_evaluation::Samples;
use twinflow_methods::flow::SampleConfig;
use twinflow_nn::Params;
use twinflow_runtime::{
    console::OrReport,
    devices::Devices,
    model::Model,
    sampler::{
        SampleSet, Sampler,
        Subject::{self as Shown, Label},
    },
};

use crate::{
    cli::{Calls, EvalArgs},
    commands::{config_of, model_of, open_checkpoint, print_line, sample::weights},
    config::ResolvedConfig,
};

/// What is evaluated.
pub struct Subject {
    checkpoint: Checkpoint,
    pub config: ResolvedConfig,
    pub devices: Devices,
    model: Model,
    params: Params<Buffer>,
}

impl Subject {
    /// A checkpoint's model with its parameters on a device.
    ///
    /// # Errors
    /// A damaged checkpoint, or one without the weights asked for; settings that cannot be used.
    pub fn load(args: &EvalArgs) -> Result<Self> {
        refuse_sampling_settings(&args.set)?;
        let checkpoint = open_checkpoint(&args.checkpoint)?;
        let config = config_of(&checkpoint, &args.set)?;
        let devices = Devices::open_one(&config.device)?;
        let config = ResolvedConfig::of_checkpoint(config, devices.products());
        let model = model_of(&checkpoint, &config)?;
        let params = weights(&checkpoint, &model, args.weights)?;
        let params = to_device(&params, &devices.all()[0]).or_report()?;
        Ok(Subject { checkpoint, config, devices, model, params })
    }

    /// What a report says of the samples.
    pub fn samples(&self, args: &EvalArgs) -> Samples {
        Samples {
            checkpoint: self.checkpoint.path().to_owned(),
            step: self.checkpoint.metadata().step,
            weights: args.weights.prefix().to_owned(),
            seed: args.seed,
            count_per_class: per_class(args),
        }
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Samples of each class with the usual settings for a number of calls, and these settings.
    ///
    /// # Errors
    /// What compiling and running met.
    pub fn draw(&self, calls: Calls, args: &EvalArgs) -> Result<(SampleSet, SampleConfig)> {
        let labels: Vec<Shown> = (0..self.config.data.classes as i32).map(Label).collect();
        let (sampler, config) = self.sampler(calls)?;
        Ok((self.draw_by(&sampler, &labels, per_class(args), args.seed)?, config))
    }

    /// The sampler with the usual settings for a number of calls, and these settings. How far the times are shifted
    /// belongs to the model, not to their number.
    ///
    /// # Errors
    /// What compiling met.
    pub fn sampler(&self, Calls { nfe, guidance }: Calls) -> Result<(Sampler, SampleConfig)> {
        let SampleConfig { shift, dynamic_shift, terminal, .. } = self.config.sample.clone();
        let config = SampleConfig { guidance, shift, dynamic_shift, terminal, ..SampleConfig::for_nfe(nfe) };
        Ok((Sampler::new(&self.model, &config, &self.devices)?, config))
    }

    /// Samples by the checkpoint's weights.
    ///
    /// # Errors
    /// What running met.
    pub fn draw_by(&self, sampler: &Sampler, shown: &[Shown], each: usize, seed: u64) -> Result<SampleSet> {
        sampler.draw(&by_ref(&self.params), shown, each, seed)
    }
}

/// Samples of each class.
pub fn per_class(args: &EvalArgs) -> usize {
    args.count.unwrap_or(200) as usize
}

/// What has no effect is refused.
///
/// # Errors
/// One of these files was named.
pub fn refuse_files(files: &[(&str, &Option<PathBuf>)], of: &str, help: &'static str) -> Result<()> {
    match files.iter().find(|(_, file)| file.is_some()) {
        None => Ok(()),
        Some((name, _)) => Err(miette!(help = help, "{name} has no effect on the evaluation of {of}")),
    }
}

/// The samples' settings follow from the number of calls, so others would silently have no effect.
fn refuse_sampling_settings(assignments: &[String]) -> Result<()> {
    match assignments.iter().find(|assignment| assignment.trim_start().starts_with("sample.")) {
        None => Ok(()),
        Some(assignment) => Err(miette!(
            help = "leave it out; eval takes the method's usual settings for each number of calls and writes them down",
            "--set {assignment} has no effect on eval"
        )),
    }
}

/// Prints a report and writes it as JSON.
pub fn finish(args: &EvalArgs, report: &(impl Display + Serialize)) -> Result<()> {
    print_line(report)?;
    let json = serde_json::to_string_pretty(report).or_report()? + "\n";
    std::fs::write(&args.out, json).map_err(|error| miette!("cannot write {}: {error}", args.out.display()))?;
    print_line(format_args!("{}: the same with all settings", args.out.display()))
}
