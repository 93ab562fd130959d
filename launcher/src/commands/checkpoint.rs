//! `checkpoint info`, `verify` and `export`.

use std::path::{Path, PathBuf};

use miette::{Result, miette};
use twinflow_checkpoints::{self as checkpoints, Checkpoint, ExportOptions, Format};
use twinflow_compiler::stablehlo::Products;
use twinflow_runtime::{console::OrReport, model::Model};
use twinflow_tokenizer::Tokenizer;

use super::print_line;
use crate::{
    cli::{CheckpointCommand, ExportArgs},
    config::{Config, ResolvedConfig, SettingError},
};

/// Runs `checkpoint`.
///
/// # Errors
/// What reading or writing met; a damaged checkpoint.
pub fn checkpoint(command: &CheckpointCommand) -> Result<()> {
    match command {
        CheckpointCommand::Info { checkpoint } => print_line(open(checkpoint)?.info()),
        CheckpointCommand::Verify { checkpoint } => verify(checkpoint),
        CheckpointCommand::Export(args) => export(args),
    }
}

/// The checkpoint that a path means: itself, or the newest valid one of a folder or a run.
///
/// # Errors
/// There is none, or it is damaged.
pub fn open(path: &Path) -> Result<Checkpoint> {
    Checkpoint::open(checkpoints::resolve(path).or_report()?).or_report()
}

/// Of a folder every file is checked, so that damage to an older one shows too.
fn verify(path: &Path) -> Result<()> {
    if !path.exists() {
        return Err(miette!("there is nothing at {}", path.display()));
    }
    let folder = if path.join("checkpoints").is_dir() { path.join("checkpoints") } else { path.to_owned() };
    let files = match folder.is_dir() {
        true => checkpoints::list(&folder).or_report()?.into_iter().map(|(_, file)| file).collect(),
        false => vec![folder.clone()],
    };
    if files.is_empty() {
        return Err(miette!("no checkpoint in {}", folder.display()));
    }
    let (mut damaged, mut unread) = (0, 0);
    for file in &files {
        match checkpoints::verify(file) {
            Ok(report) => {
                print_line(&report)?;
                damaged += usize::from(!report.damaged.is_empty());
            }
            Err(error) if error.is_damage() => {
                print_line(format_args!("{}: DAMAGED: {error}", file.display()))?;
                damaged += 1;
            }
            Err(error) => {
                print_line(format_args!("{}: CANNOT BE READ: {error}", file.display()))?;
                unread += 1;
            }
        }
    }
    match (damaged, unread, files.len()) {
        (0, 0, _) => Ok(()),
        (_, 0, count) => Err(miette!("{damaged} of {count} checkpoints are damaged")),
        (_, _, count) => Err(miette!("of {count} checkpoints, {damaged} are damaged and {unread} cannot be read")),
    }
}

/// The settings that a checkpoint was trained with, `--set` assignments on top.
///
/// # Errors
/// Settings that cannot be used.
pub fn config_of(checkpoint: &Checkpoint, assignments: &[String]) -> Result<Config, SettingError> {
    let name = format!("the config in {}", checkpoint.path().display());
    Config::from_text(&name, &checkpoint.metadata().config, assignments)
}

/// The network that a checkpoint holds weights of, with its tokenizer.
///
/// # Errors
/// Settings or a tokenizer that cannot be used.
pub fn model_of(checkpoint: &Checkpoint, config: &ResolvedConfig) -> Result<Model> {
    let tokenizer = checkpoint.metadata().tokenizer.as_deref().map(Tokenizer::from_json);
    Ok(config.model()?.with_tokenizer(tokenizer.transpose().or_report()?))
}

fn export(args: &ExportArgs) -> Result<()> {
    let format = match args.out.extension().and_then(|extension| extension.to_str()) {
        Some("safetensors") => Format::Safetensors,
        Some("h5" | "hdf5") => Format::Hdf5,
        _ => return Err(miette!("--out {} must end in .safetensors or .h5", args.out.display())),
    };
    let checkpoint = open(&args.checkpoint)?;
    let mut config = config_of(&checkpoint, &[])?;
    // The run's folder says nothing of the weights.
    config.run.dir = PathBuf::new();
    let config = ResolvedConfig::of_checkpoint(config, Products::default());
    let (group, text) = (args.weights.prefix().into(), Some(config.to_toml()));
    let options = ExportOptions { group, format, config: text, ..ExportOptions::default() };
    let parameters = config.model()?.parameter_spec();
    let summary = checkpoints::export(&checkpoint, &parameters, &args.out, &options).or_report()?;
    print_line(format_args!("{}: {} arrays, {} bytes of weights", args.out.display(), summary.arrays, summary.bytes))
}
