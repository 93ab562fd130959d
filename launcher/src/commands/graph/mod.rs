//! `graph`: the programs of a config, as text or by what they need on a device.

mod needs;
mod table;

use std::{path::Path, time::Instant};

use miette::Result;
use serde_json::json;
use twinflow_array::{TensorType, Tree};
use twinflow_compiler::{Program, TraceError, Traced, stablehlo::Products};
use twinflow_graphs::step::{Phase, Trainer};

use self::needs::Needs;
use super::print_line;
use crate::{
    cli::{GraphArgs, GraphFormat, ProgramName},
    config::Config,
    data_source, programs,
    said::Said,
    sample_file::make_parent,
    sampler::chunk_size,
    target::Target,
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

/// A traced program without the types of its trees.
struct Listing {
    program: Program,
    stablehlo: String,
    /// Devices of a process that it runs on at once.
    replicas: usize,
}

/// Runs `graph`.
///
/// # Errors
/// Bad settings, a missing dataset (its sizes decide the shapes), a file that cannot be written; with a target, those of
/// [`Target::open`] and the plugin's.
pub fn graph(args: &GraphArgs) -> Result<()> {
    let mut config = Config::from_args(&args.config)?;
    config.data.verify = false;
    data_source::open(&mut config.data, u64::from(config.run.seed))?;
    let trainer = config.trainer(1)?;
    let names = args.program.map_or(ALL.to_vec(), |name| vec![name]);
    match &args.target {
        None => names
            .into_iter()
            .try_for_each(|name| show(args, name, &listing(&trainer, &config, name, Products::default()).said()?)),
        Some(target) => tell_needs(&trainer, &config, &names, &Target::open(target, &config.device)?, args.json),
    }
}

fn listing(trainer: &Trainer, config: &Config, name: ProgramName, products: Products) -> Result<Listing, TraceError> {
    let on_all = config.device.devices;
    Ok(match name {
        ProgramName::FlowStep => list(&programs::step(trainer, Phase::FlowMatching)?, products, on_all),
        ProgramName::BeginTwinflow => list(&programs::begin_twinflow(trainer)?, products, on_all),
        ProgramName::TwinflowStep => list(&programs::step(trainer, Phase::TwinFlow)?, products, on_all),
        ProgramName::Gradients => list(&programs::gradients(trainer, Phase::TwinFlow)?, products, on_all),
        ProgramName::Update => list(&programs::update(trainer, Phase::TwinFlow)?, products, on_all),
        ProgramName::Sample => {
            list(&programs::sample(trainer, &config.sample, chunk_size(config.data.shape()))?, products, 1)
        }
    })
}

fn list<D, K, O>(traced: &Traced<D, K, O>, products: Products, replicas: usize) -> Listing
where
    D: Tree<Leaf = TensorType>,
    K: Tree<Leaf = TensorType>,
    O: Tree<Leaf = TensorType>,
{
    Listing { program: traced.program().clone(), stablehlo: traced.stablehlo(products), replicas }
}

fn show(args: &GraphArgs, name: ProgramName, listing: &Listing) -> Result<()> {
    let text = match args.format {
        GraphFormat::Stablehlo => listing.stablehlo.clone(),
        GraphFormat::Program => listing.program.to_string(),
    };
    match &args.out {
        None => print_line(text),
        Some(folder) => write(folder, name, args.format, &text),
    }
}

fn write(folder: &Path, name: ProgramName, format: GraphFormat, text: &str) -> Result<()> {
    let ending = if format == GraphFormat::Stablehlo { "mlir" } else { "txt" };
    let path = folder.join(format!("{}.{ending}", file_name(name)));
    make_parent(&path)?;
    std::fs::write(&path, text).map_err(|error| miette::miette!("cannot write {}: {error}", path.display()))?;
    print_line(format_args!("{} ({} lines)", path.display(), text.lines().count()))
}

/// Compiles each program and says what it needs; a table comes as soon as it is known.
fn tell_needs(trainer: &Trainer, config: &Config, names: &[ProgramName], target: &Target, as_json: bool) -> Result<()> {
    let mut all = Vec::new();
    if !as_json {
        print_line(table::head(target))?;
    }
    for &name in names {
        let listing = listing(trainer, config, name, target.products()).said()?;
        let started = Instant::now();
        let memory = target.compile(&listing.stablehlo, &target.compile_options(listing.replicas))?;
        let seconds = started.elapsed().as_secs_f64();
        let needs = Needs::new(file_name(name), memory, seconds, &listing.program.cost(), target);
        if !as_json {
            print_line(table::of_program(&needs, target))?;
        }
        all.push(needs);
    }
    if as_json {
        let whole = json!({
            "target": target.name,
            "memory": target.memory,
            "memory_for_a_run": target.memory_for_a_run,
            "programs": all,
        });
        print_line(serde_json::to_string_pretty(&whole).expect("numbers and texts have a JSON form"))?;
    }
    Ok(())
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

#[cfg(test)]
mod tests;
