//! `graph`: the programs of a config, as text or by what they need on a device.

mod needs;
mod table;

use std::{path::Path, time::Instant};

use miette::{Result, miette};
use serde_json::json;
use twinflow_compiler::stablehlo::Products;
use twinflow_runtime::{
    console::OrReport,
    model::Model,
    programs::{Listing, ProgramKind},
    target::Target,
};
use twinflow_training::Trainer;

use self::needs::Needs;
use super::print_line;
use crate::{
    cli::{GraphArgs, GraphFormat},
    config::{Config, ResolvedConfig, open_data},
    pictures::sample_file::make_parent,
};

/// What the programs of a config are traced from.
struct Programs {
    config: ResolvedConfig,
    trainer: Trainer,
    model: Model,
}

impl Programs {
    /// Opens the dataset, whose sizes decide the shapes.
    fn of(mut config: Config) -> Result<Self> {
        config.data.verify = false;
        let source = open_data(&config.data, u64::from(config.run.seed))?;
        let config = ResolvedConfig::new(config, source.as_ref());
        Ok(Programs { trainer: config.trainer(1)?, model: config.model()?, config })
    }

    /// The program of a name; all of them, in the order in which a run uses them, without one.
    fn named(&self, name: Option<&str>) -> Result<Vec<(String, ProgramKind)>> {
        let all = ProgramKind::all(&self.trainer);
        let Some(name) = name else { return Ok(all) };
        match all.iter().find(|(known, _)| known == name) {
            Some(found) => Ok(vec![found.clone()]),
            None => {
                let known: Vec<&str> = all.iter().map(|(known, _)| known.as_str()).collect();
                Err(miette!("this config has no program '{name}'; its programs are {}", known.join(", ")))
            }
        }
    }

    fn list(&self, kind: ProgramKind, products: Products) -> Result<Listing> {
        kind.list(&self.trainer, &self.model, &self.config.sample, products).or_report()
    }
}

/// Runs `graph`.
///
/// # Errors
/// Bad settings, a missing dataset, a program that there is not, a file that cannot be written; with a target, those of
/// [`Target::open`] and the plugin's.
pub fn graph(args: &GraphArgs) -> Result<()> {
    let programs = Programs::of(args.config.load()?)?;
    let named = programs.named(args.program.as_deref())?;
    match &args.target {
        None => named.iter().try_for_each(|(name, kind)| show(args, name, &programs.list(*kind, Products::default())?)),
        Some(target) => {
            let target = Target::open(target, &programs.config.device)?;
            show_needs(&programs, &named, &target, args.json)
        }
    }
}

fn show(args: &GraphArgs, name: &str, listing: &Listing) -> Result<()> {
    let text = match args.format {
        GraphFormat::Stablehlo => listing.stablehlo.clone(),
        GraphFormat::Program => listing.program.to_string(),
    };
    match &args.out {
        None => print_line(text),
        Some(folder) => write(folder, name, args.format, &text),
    }
}

fn write(folder: &Path, name: &str, format: GraphFormat, text: &str) -> Result<()> {
    let ending = if format == GraphFormat::Stablehlo { "mlir" } else { "txt" };
    let path = folder.join(format!("{}.{ending}", name));
    make_parent(&path)?;
    std::fs::write(&path, text).map_err(|error| miette::miette!("cannot write {}: {error}", path.display()))?;
    print_line(format_args!("{} ({} lines)", path.display(), text.lines().count()))
}

/// Compiles each program and says what it needs; a table comes as soon as it is known.
fn show_needs(programs: &Programs, named: &[(String, ProgramKind)], target: &Target, as_json: bool) -> Result<()> {
    let mut all = Vec::new();
    if !as_json {
        print_line(table::head(target))?;
    }
    for (name, kind) in named {
        let listing = programs.list(*kind, target.products())?;
        let started = Instant::now();
        let memory = target.compile(&listing.stablehlo, &target.compile_options(listing.replicas))?;
        let seconds = started.elapsed().as_secs_f64();
        let needs = Needs::new(name, memory, seconds, &listing.program.cost(), target);
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

#[cfg(test)]
mod tests;
