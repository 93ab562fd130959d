//! `sample`: pictures from a checkpoint.

mod prompts;

use miette::{Result, miette};
use twinflow_array::{HostArray, by_ref};
use twinflow_checkpoints::Checkpoint;
use twinflow_compiler::to_device;
use twinflow_methods::flow::SampleConfig;
use twinflow_nn::Params;
use twinflow_runtime::{
    console::OrReport,
    devices::Devices,
    model::Model,
    sampler::{Sampler, Subject},
};

use super::{config_of, model_of, open_checkpoint, print_line};
use crate::{
    cli::{SampleArgs, Weights},
    config::ResolvedConfig,
    pictures::{
        classes_note,
        sample_file::{SampleFormat, make_parent, picture, write_hdf5},
        shown_classes,
    },
};

/// Runs `sample`.
///
/// # Errors
/// Bad arguments, a damaged checkpoint, no usable plugin, a file that cannot be written.
pub fn sample(args: &SampleArgs) -> Result<()> {
    let format = SampleFormat::of(&args.out)?;
    let checkpoint = open_checkpoint(&args.checkpoint)?;
    let mut config = config_of(&checkpoint, &args.set)?;
    config.sample = with_arguments(&config.sample, args);
    if let Some([width, height]) = args.size {
        (config.data.width, config.data.height) = (width, height);
    }
    config.sample.validate().or_report()?;
    let devices = Devices::open_one(&config.device)?;
    let config = ResolvedConfig::of_checkpoint(config, devices.products());
    let model = model_of(&checkpoint, &config)?;
    let asked = Asked::of(args, &model, config.data.classes, format)?;
    let negative = prompts::negative(args, &model, &config.sample)?;
    let params = weights(&checkpoint, &model, args.weights)?;
    let params = to_device(&params, &devices.all()[0]).or_report()?;
    let sampler = Sampler::new(&model, &config.sample, &devices)?;
    let sampler = negative.iter().fold(sampler, Sampler::with_negative);
    let count = args.count.map_or(asked.usual_count(), |count| count as usize);
    let samples = sampler.draw(&by_ref(&params), asked.subjects(), count, args.seed)?;
    make_parent(&args.out)?;
    let step = checkpoint.metadata().step;
    match (format, &asked) {
        (SampleFormat::Png, Asked::Prompts { texts, .. }) => prompts::write(&samples, texts, &args.out)?,
        (SampleFormat::Png, Asked::Labels(_)) => {
            picture(&samples, &format!("step {step}, NFE {}", config.sample.nfe))?.write(&args.out)?;
        }
        (SampleFormat::Hdf5, _) => {
            let SampleConfig { nfe, style, guidance, .. } = config.sample;
            let (weights, seed, from) = (args.weights.prefix(), args.seed, checkpoint.path().display());
            let settings = format!("weights {weights}, NFE {nfe}, style {style}, guidance {guidance}, seed {seed}");
            write_hdf5(&samples, &args.out, &format!("{from}: step {step}, {settings}"), asked.classes(&config))?;
        }
    }
    print_line(asked.summary(args, samples.labels.len(), count, config.data.classes, format))
}

/// What is to be drawn.
enum Asked {
    Labels(Vec<Subject>),
    Prompts { texts: Vec<String>, subjects: Vec<Subject> },
}

impl Asked {
    fn of(args: &SampleArgs, model: &Model, classes: usize, format: SampleFormat) -> Result<Self> {
        if let Some((texts, subjects)) = prompts::asked(args, model)? {
            return Ok(Asked::Prompts { texts, subjects });
        }
        Ok(Asked::Labels(labels(&args.labels, classes, format)?.into_iter().map(Subject::Label).collect()))
    }

    fn subjects(&self) -> &[Subject] {
        match self {
            Asked::Labels(subjects) | Asked::Prompts { subjects, .. } => subjects,
        }
    }

    /// Classes of the file of samples: a prompt is one.
    fn classes(&self, config: &ResolvedConfig) -> usize {
        match self {
            Asked::Labels(_) => config.data.classes,
            Asked::Prompts { texts, .. } => texts.len(),
        }
    }

    /// Samples of each, where no number is asked for.
    fn usual_count(&self) -> usize {
        if let Asked::Labels(_) = self { 8 } else { 1 }
    }

    fn summary(&self, args: &SampleArgs, drawn: usize, each: usize, classes: usize, format: SampleFormat) -> String {
        let out = args.out.display();
        match (self, format) {
            (Asked::Labels(_), _) => {
                let note = classes_note(classes).filter(|_| args.labels.is_empty() && format == SampleFormat::Png);
                let note = note.map_or(String::new(), |note| format!(" ({note}; --labels names others)"));
                format!("{out}: {drawn} samples, {each} per label{note}")
            }
            (Asked::Prompts { .. }, SampleFormat::Hdf5) => format!("{out}: {drawn} samples, {each} per prompt"),
            (Asked::Prompts { .. }, SampleFormat::Png) => {
                let folder = prompts::folder_of_pictures(&args.out);
                format!("{out}: {drawn} pictures, {each} per prompt, and each of them in {}/", folder.display())
            }
        }
    }
}

/// All parameters of a checkpoint's model: those that were trained, of the kind asked for, and those that were not.
///
/// # Errors
/// The checkpoint does not hold them, or is damaged.
pub fn weights(checkpoint: &Checkpoint, model: &Model, kind: Weights) -> Result<Params<HostArray>> {
    checkpoint.restore_weights(&model.parameter_spec(), kind.prefix()).or_report()
}

fn with_arguments(config: &SampleConfig, args: &SampleArgs) -> SampleConfig {
    let nfe = args.nfe.map_or(config.nfe, |nfe| nfe as usize);
    let guidance = args.guidance.unwrap_or(config.guidance);
    SampleConfig { nfe, style: args.style.unwrap_or(config.style), guidance, ..config.clone() }
}

/// The labels asked for; if none are, all that the file has place for.
fn labels(asked: &[u32], classes: usize, format: SampleFormat) -> Result<Vec<i32>> {
    // Data without classes have the one label 0.
    let labels = classes.max(1);
    match (asked, format) {
        ([], SampleFormat::Png) => return Ok(shown_classes(classes)),
        ([], SampleFormat::Hdf5) => return Ok((0..labels as i32).collect()),
        _ => {}
    }
    match asked.iter().find(|label| **label as usize >= labels) {
        Some(label) if classes == 0 => Err(miette!("label {label} is out of range: the model knows no classes")),
        Some(label) => {
            Err(miette!("label {label} is out of range: the model knows {classes} classes, 0 to {}", labels - 1))
        }
        None => Ok(asked.iter().map(|label| *label as i32).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_default_to_all_and_must_exist() {
        use SampleFormat::{Hdf5, Png};
        assert_eq!(labels(&[], 3, Png).unwrap(), [0, 1, 2]);
        assert_eq!(labels(&[], 100, Hdf5).unwrap().len(), 100);
        assert_eq!(labels(&[], 100, Png).unwrap().len(), 64);
        assert_eq!(labels(&[2, 0], 3, Png).unwrap(), [2, 0]);
        let error = labels(&[1, 10], 10, Png).unwrap_err().to_string();
        assert_eq!(error, "label 10 is out of range: the model knows 10 classes, 0 to 9");
        let error = labels(&[1], 0, Png).unwrap_err().to_string();
        assert_eq!(error, "label 1 is out of range: the model knows no classes");
        assert_eq!(labels(&[], 0, Hdf5).unwrap(), [0]);
    }
}
