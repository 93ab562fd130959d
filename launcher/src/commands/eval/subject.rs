//! What an evaluation has in common, whatever the samples are.

use std::fmt::Display;

use miette::{Result, miette};
use serde::Serialize;
use twinflow_array::{HostArray, ParamPath};
use twinflow_checkpoints::Checkpoint;
use twinflow_graphs::{Params, step::Trainer};

use crate::{
    cli::EvalArgs,
    commands::{open_checkpoint, print_line},
    config::Config,
    said::Said,
};

/// What is evaluated.
pub struct Subject {
    pub checkpoint: Checkpoint,
    pub config: Config,
    pub trainer: Trainer,
    pub params: Params<HostArray>,
}

impl Subject {
    /// # Errors
    /// A damaged checkpoint, or one without the weights asked for; settings that cannot be used.
    pub fn load(args: &EvalArgs) -> Result<Self> {
        refuse_sampling_settings(&args.set)?;
        let checkpoint = open_checkpoint(&args.checkpoint)?;
        let name = format!("the config in {}", checkpoint.path().display());
        let mut config = Config::from_text(&name, &checkpoint.metadata().config, &args.set)?;
        // The devices' share of the batch is training's concern.
        config.device.devices = 1;
        let trainer = config.trainer(1)?;
        let prefix = ParamPath::from(args.weights.prefix());
        let params = checkpoint.restore_into(&trainer.parameter_spec(), &prefix).said()?;
        Ok(Subject { checkpoint, config, trainer, params })
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
    let json = serde_json::to_string_pretty(report).said()? + "\n";
    std::fs::write(&args.out, json).map_err(|error| miette!("cannot write {}: {error}", args.out.display()))?;
    print_line(format_args!("{}: the same with all settings", args.out.display()))
}
