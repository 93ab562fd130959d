//! `graph`: the programs of a config as text.

use std::path::Path;

use miette::Result;
use twinflow_array::{TensorType, Tree};
use twinflow_compiler::{TraceError, Traced};
use twinflow_graphs::step::{Phase, Trainer};

use super::print_line;
use crate::{
    cli::{GraphArgs, GraphFormat, ProgramName},
    config::Config,
    data_source, programs,
    said::Said,
    sample_file::make_parent,
};

/// All programs, in the order in which a run uses them.
const ALL: [ProgramName; 6] = [
    ProgramName::FlowStep,
    ProgramName::BeginTwinflow,
    ProgramName::TwinflowStep,
    ProgramName::Gradients,
    ProgramName::Update,
    ProgramName::Sample,
];

/// Runs `graph`.
///
/// # Errors
/// Bad settings, a missing dataset (its sizes decide the shapes), a file that cannot be written.
pub fn graph(args: &GraphArgs) -> Result<()> {
    let mut config = Config::from_args(&args.config)?;
    config.data.verify = false;
    data_source::open(&mut config.data, u64::from(config.run.seed))?;
    let trainer = config.trainer(1)?;
    for name in args.program.map_or(ALL.to_vec(), |name| vec![name]) {
        let text = text(&trainer, &config, name, args.format).said()?;
        match &args.out {
            None => print_line(text)?,
            Some(folder) => write(folder, name, args.format, &text)?,
        }
    }
    Ok(())
}

fn text(trainer: &Trainer, config: &Config, name: ProgramName, format: GraphFormat) -> Result<String, TraceError> {
    Ok(match name {
        ProgramName::FlowStep => show(&programs::step(trainer, Phase::FlowMatching)?, format),
        ProgramName::BeginTwinflow => show(&programs::begin_twinflow(trainer)?, format),
        ProgramName::TwinflowStep => show(&programs::step(trainer, Phase::TwinFlow)?, format),
        ProgramName::Gradients => show(&programs::gradients(trainer, Phase::TwinFlow)?, format),
        ProgramName::Update => show(&programs::update(trainer, Phase::TwinFlow)?, format),
        ProgramName::Sample => show(&programs::sample(trainer, &config.sample, config.sample.per_class)?, format),
    })
}

fn show<D, K, O>(traced: &Traced<D, K, O>, format: GraphFormat) -> String
where
    D: Tree<Leaf = TensorType>,
    K: Tree<Leaf = TensorType>,
    O: Tree<Leaf = TensorType>,
{
    match format {
        GraphFormat::Stablehlo => traced.stablehlo(true),
        GraphFormat::Program => traced.program().to_string(),
    }
}

fn write(folder: &Path, name: ProgramName, format: GraphFormat, text: &str) -> Result<()> {
    let ending = if format == GraphFormat::Stablehlo { "mlir" } else { "txt" };
    let path = folder.join(format!("{}.{ending}", file_name(name)));
    make_parent(&path)?;
    std::fs::write(&path, text).map_err(|error| miette::miette!("cannot write {}: {error}", path.display()))?;
    print_line(format_args!("{} ({} lines)", path.display(), text.lines().count()))
}

fn file_name(name: ProgramName) -> &'static str {
    match name {
        ProgramName::FlowStep => "flow-step",
        ProgramName::BeginTwinflow => "begin-twinflow",
        ProgramName::TwinflowStep => "twinflow-step",
        ProgramName::Gradients => "gradients",
        ProgramName::Update => "update",
        ProgramName::Sample => "sample",
    }
}
