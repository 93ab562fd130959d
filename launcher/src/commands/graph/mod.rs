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
    trial::run_once,
};
use twinflow_training::Trainer;

use self::needs::{Needs, Trial};
use super::print_line;
use crate::{
    cli::{GraphArgs, GraphFormat},
    config::{Config, ResolvedConfig, open_data},
    pictures::sample_file::make_parent,
};

/// What the programs of a config are traced from, and how they make products.
pub struct Programs {
    config: ResolvedConfig,
    trainer: Trainer,
    model: Model,
    products: Products,
}

impl Programs {
    /// Opens the dataset, whose sizes decide the shapes.
    ///
    /// # Errors
    /// No dataset; settings that do not fit it, each other or so many processes.
    pub fn of(mut config: Config, products: Products, processes: usize) -> Result<Self> {
        config.data.verify = false;
        let source = open_data(&config.data, u64::from(config.run.seed))?;
        let config = ResolvedConfig::new(config, source.as_ref(), products);
        Ok(Programs { trainer: config.trainer(processes)?, model: config.model()?, config, products })
    }

    /// The settings that they are made from.
    pub fn config(&self) -> &ResolvedConfig {
        &self.config
    }

    /// All programs, in the order in which a run uses them.
    fn all(&self) -> Vec<(String, ProgramKind)> {
        ProgramKind::all(&self.trainer)
    }

    /// Those that a run of so many processes comes to.
    pub fn of_a_run(&self, processes: usize) -> Vec<(String, ProgramKind)> {
        let last_phase = self.trainer.phase_at(self.config.train.steps.saturating_sub(1));
        self.all().into_iter().filter(|(_, kind)| kind.is_run_by(processes, last_phase)).collect()
    }

    /// The program of a name; all of them without one.
    fn named(&self, name: Option<&str>) -> Result<Vec<(String, ProgramKind)>> {
        let all = self.all();
        let Some(name) = name else { return Ok(all) };
        match all.iter().find(|(known, _)| known == name) {
            Some(found) => Ok(vec![found.clone()]),
            None => {
                let known: Vec<&str> = all.iter().map(|(known, _)| known.as_str()).collect();
                Err(miette!("this config has no program '{name}'; its programs are {}", known.join(", ")))
            }
        }
    }

    /// Traces a program.
    ///
    /// # Errors
    /// A model that does not fit its inputs.
    pub fn list(&self, kind: ProgramKind) -> Result<Listing> {
        kind.list(&self.trainer, &self.model, &self.config.sample, self.products).or_report()
    }
}

/// Runs `graph`.
///
/// # Errors
/// Bad settings, a missing dataset, a program that there is not, a file that cannot be written; with a target, those of
/// [`Target::open`] and the plugin's.
pub fn graph(args: &GraphArgs) -> Result<()> {
    let config = args.config.load()?;
    let target = args.target.as_ref().map(|target| Target::open(target, &config.device)).transpose()?;
    let products = target.as_ref().map_or(Products::default(), Target::products);
    let programs = Programs::of(config, products, 1)?;
    let named = programs.named(args.program.as_deref())?;
    match target {
        None => named.iter().try_for_each(|(name, kind)| show(args, name, &programs.list(*kind)?)),
        Some(target) => show_needs(&programs, &named, &target, args.json),
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
    let path = folder.join(format!("{name}.{ending}"));
    make_parent(&path)?;
    std::fs::write(&path, text).map_err(|error| miette!("cannot write {}: {error}", path.display()))?;
    print_line(format_args!("{} ({} lines)", path.display(), text.lines().count()))
}

/// Compiles each program, says what it needs, and runs it once where the device is here; a table comes as soon as it is
/// known.
fn show_needs(programs: &Programs, named: &[(String, ProgramKind)], target: &Target, as_json: bool) -> Result<()> {
    let mut all = Vec::new();
    if !as_json {
        print_line(table::head(target))?;
    }
    for (name, kind) in named {
        let listing = programs.list(*kind)?;
        let started = Instant::now();
        let (memory, executable) = target.compile(&listing.stablehlo, &target.compile_options(listing.replicas))?;
        let seconds = started.elapsed().as_secs_f64();
        let mut needs = Needs::new(name, memory, seconds, &listing.program.cost(), target);
        // What does not fit may end this process instead of giving an error.
        if let Some(executable) = executable.filter(|_| needs.fits != Some(false)) {
            needs.trial = Some(Trial::of(run_once(&executable, &listing.program, target.devices())));
        }
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
    match all.iter().filter(|needs| matches!(needs.trial, Some(Trial::Failed(_)))).count() {
        0 => Ok(()),
        count => Err(miette!("{count} of {} programs cannot run here", all.len())),
    }
}

#[cfg(test)]
mod tests;
