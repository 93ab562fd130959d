//! `doctor`: what is installed and working here.

use std::{fs, thread::available_parallelism};

use miette::{Result, miette};
use twinflow_data::{Dataset, Verify};
use twinflow_runtime::{
    console::OrReport,
    devices::{self, Devices},
    programs::ProgramKind,
    trial::run_once,
    world::{self, World},
};

use super::graph::Programs;
use crate::{
    cli::DoctorArgs,
    config::{Config, DataKind},
    run_folder::host,
    train::grace,
};

/// The answers, one line each.
struct Report {
    problems: usize,
    quiet: bool,
}

impl Report {
    fn ok(&self, what: &str, fact: &str) {
        self.line("ok     ", what, fact);
    }

    fn problem(&mut self, what: &str, fact: &str, advice: &str) {
        self.problems += 1;
        self.line("PROBLEM", what, fact);
        if !advice.is_empty() {
            self.line("       ", "", &format!("-> {advice}"));
        }
    }

    fn line(&self, state: &str, what: &str, fact: &str) {
        if !self.quiet {
            // The exit code says the same to who does not read on.
            super::print_line(format!("{state}  {what:<12} {fact}")).ok();
        }
    }
}

/// Runs `doctor`. Under mpirun every rank takes part and rank 0 answers.
///
/// # Errors
/// A bad config; problems found, which are all named before.
pub fn doctor(args: &DoctorArgs) -> Result<()> {
    let config = args.config.load()?;
    let joined = World::join();
    let quiet = joined.as_ref().is_ok_and(|world| !world.is_root());
    let mut report = Report { problems: 0, quiet };
    machine(&report, joined.as_ref().map_or(1, World::size));
    match &joined {
        Ok(world) => mpi(&report, world),
        Err(error) => report.problem(
            "MPI",
            &error.to_string(),
            &miette::Diagnostic::help(error).map_or(String::new(), |help| help.to_string()),
        ),
    }
    let devices = accelerator(&mut report, &config, joined.as_ref().map_or(0, World::local_rank));
    compiled_programs(&report, &config);
    let (major, minor, patch) = twinflow_data::hdf5_version();
    report.ok("HDF5", &format!("library {major}.{minor}.{patch}"));
    let has_data = dataset(&mut report, &config);
    if let (Some(devices), true, true) = (devices, has_data, args.config.config.is_some()) {
        trials(&mut report, config, &devices, joined.as_ref().map_or(1, World::size));
    }
    match report.problems {
        0 => {
            report.line("", "", "everything that this config needs is here");
            Ok(())
        }
        1 => Err(miette!("1 problem")),
        n => Err(miette!("{n} problems")),
    }
}

fn machine(report: &Report, ranks: usize) {
    let cores = available_parallelism().map_or(0, usize::from);
    report.ok("program", &format!("twinflow-xla {}", env!("CARGO_PKG_VERSION")));
    report.ok("machine", &format!("{}: {}, cores for this process: {cores}", host(), memory()));
    match locked_memory_limit() {
        Some(limit) if limit != "unlimited" && devices::has_gpu() => {
            report.line("note   ", "memory lock", &format!("at most {limit} bytes may be locked"));
            // A single process locks what the driver needs, whatever the limit.
            if ranks > 1 {
                report.line("       ", "", "-> RDMA between nodes needs more: ulimit -l unlimited on compute nodes");
            }
        }
        Some(limit) if limit == "unlimited" => report.ok("memory lock", "unlimited"),
        Some(limit) => report.ok("memory lock", &format!("at most {limit} bytes, enough for a CPU")),
        None => {}
    }
}

fn memory() -> String {
    match ["MemTotal", "MemAvailable"].map(devices::host_memory) {
        [Some(total), Some(free)] => {
            format!("{:.0} GB memory, {:.0} GB free", total as f64 / 1e9, free as f64 / 1e9)
        }
        _ => "memory unknown".to_owned(),
    }
}

/// The soft limit of locked memory, as the kernel says it.
fn locked_memory_limit() -> Option<String> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max locked memory"))?;
    line.split_whitespace().nth(3).map(str::to_owned)
}

fn mpi(report: &Report, world: &World) {
    let library = world::mpi_library().unwrap_or_else(|| "none: built without the feature `mpi`".to_owned());
    let world_is = match world.size() {
        1 => "this process is alone (start with mpirun -n N for more)".to_owned(),
        size => {
            format!("{size} processes, this is rank {} and number {} on its machine", world.rank(), world.local_rank())
        }
    };
    report.ok("MPI", &format!("{library}; {world_is}"));
    if library.starts_with("Open MPI") {
        report.line("note   ", "stopping", &grace::advice());
    }
}

fn accelerator(report: &mut Report, config: &Config, local_rank: usize) -> Option<Devices> {
    let plugin = devices::plugin(&config.device).map_err(|error| report.problem("XLA plugin", &error.to_string(), ""));
    let plugin = plugin.ok()?;
    let (major, minor) = plugin.api_version();
    report.ok("XLA plugin", &format!("{} ({}, C API {major}.{minor})", plugin.path().display(), plugin.platform()));
    let advice = "see the message; device.platform=cpu always works";
    let devices = Devices::open(&config.device, local_rank);
    let devices = devices.map_err(|error| report.problem("device", &error.to_string(), advice)).ok()?;
    for device in devices.all() {
        let memory = device.memory().and_then(|memory| memory.limit);
        let memory = memory.map_or(String::new(), |limit| format!(", {:.1} GB for this process", limit as f64 / 1e9));
        report.ok("device", &format!("{} {}{memory}", device.id(), device.kind()));
    }
    Some(devices)
}

/// Training goes on without a cache, so that none is no problem.
fn compiled_programs(report: &Report, config: &Config) {
    let cache = devices::cache(&config.device);
    let Some(folder) = cache.folder() else {
        return report.ok("programs", "compiled anew every time: there is no cache (device.cache_dir)");
    };
    let held = cache.check_writable().and_then(|()| cache.usage());
    match held {
        Ok(held) => {
            let (megabytes, gib) = (held.bytes as f64 / 1e6, config.device.cache_size_gib);
            let of = format!("{} compiled, {megabytes:.0} MB of at most {gib} GiB", held.programs);
            report.ok("programs", &format!("{}: {of}", folder.display()));
        }
        Err(error) => {
            report.line("note   ", "programs", &format!("compiled anew every time: {}: {error}", folder.display()));
            report.line("       ", "", "-> name a folder that you can write to: --set device.cache_dir=FOLDER");
        }
    }
}

/// Whether there is one.
fn dataset(report: &mut Report, config: &Config) -> bool {
    if config.data.kind != DataKind::Hdf5 {
        report.ok("dataset", "made on the spot");
        return true;
    }
    match Dataset::open(&config.data.path, Verify::No) {
        Ok(dataset) => {
            let info = dataset.info();
            let shape = format!("{} x {} x {}", info.height, info.width, info.channels);
            report.ok("dataset", &format!("{}: {} samples of {shape}", info.path.display(), info.samples));
            true
        }
        Err(error) => {
            report.problem("dataset", &error.to_string(), "");
            false
        }
    }
}

/// Runs each program of a run of so many processes once: what all checks accept, the device may still not do.
fn trials(report: &mut Report, config: Config, devices: &Devices, ranks: usize) {
    let programs = match Programs::of(config, devices.products(), ranks) {
        Ok(programs) => programs,
        Err(error) => return report.problem("settings", &error.to_string(), ""),
    };
    if let Some(note) = programs.config().precision_note() {
        report.ok("precision", note);
    }
    for (name, kind) in programs.of_a_run(ranks) {
        match try_program(&programs, kind, devices) {
            Ok(()) => report.ok("trial", &format!("{name} ran once, on zeros")),
            Err(error) => report.problem("trial", &format!("{name} cannot run here: {error}"), ""),
        }
    }
}

/// The compiled program stays in the cache, so that the run finds it there.
fn try_program(programs: &Programs, kind: ProgramKind, devices: &Devices) -> Result<()> {
    let listing = programs.list(kind)?;
    let options = devices.compile_options(listing.replicas);
    let executable = devices.cache().compile(devices.client(), &listing.stablehlo, &options).or_report()?;
    run_once(&executable, &listing.program, devices.all()).or_report()
}
