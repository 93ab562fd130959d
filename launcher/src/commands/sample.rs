//! `sample`: pictures from a checkpoint.

use miette::{Result, miette};
use twinflow_array::{HostArray, by_ref};
use twinflow_checkpoints::Checkpoint;
use twinflow_compiler::to_device;
use twinflow_methods::flow::SampleConfig;
use twinflow_nn::Params;
use twinflow_runtime::{console::OrReport, devices::Devices, model::Model, sampler::Sampler};

use super::{config_of, open_checkpoint, print_line};
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
    config.sample.validate().or_report()?;
    let labels = labels(&args.labels, config.data.classes, format)?;
    let devices = Devices::open_one(&config.device)?;
    let config = ResolvedConfig::of_checkpoint(config, devices.products());
    let model = config.model()?;
    let params = weights(&checkpoint, &model, args.weights)?;
    let params = to_device(&params, &devices.all()[0]).or_report()?;
    let sampler = Sampler::new(&model, &config.sample, &devices)?;
    let samples = sampler.draw(&by_ref(&params), &labels, args.count as usize, args.seed)?;
    make_parent(&args.out)?;
    let step = checkpoint.metadata().step;
    match format {
        SampleFormat::Png => {
            picture(&samples, &format!("step {step}, NFE {}", config.sample.nfe))?.write(&args.out)?;
        }
        SampleFormat::Hdf5 => {
            let SampleConfig { nfe, style, .. } = config.sample;
            let (weights, seed) = (args.weights.prefix(), args.seed);
            let from = checkpoint.path().display();
            let made_by = format!("{from}: step {step}, weights {weights}, NFE {nfe}, style {style}, seed {seed}");
            write_hdf5(&samples, &args.out, &made_by, config.data.classes)?;
        }
    }
    let note = classes_note(config.data.classes).filter(|_| args.labels.is_empty() && format == SampleFormat::Png);
    let note = note.map_or(String::new(), |note| format!(" ({note}; --labels names others)"));
    let (out, count) = (args.out.display(), samples.labels.len());
    print_line(format_args!("{out}: {count} samples, {} per label{note}", args.count))
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
    SampleConfig { nfe, style: args.style.unwrap_or(config.style), ..config.clone() }
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
