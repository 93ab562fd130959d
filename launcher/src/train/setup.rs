//! Everything that a run needs before its first step. Each part is agreed on by all ranks, so that what one of them
//! cannot do ends all of them with one message, before anything is written.

use std::{path::PathBuf, sync::Arc};

use miette::Result;
use twinflow_array::{HostArray, ParamPath};
use twinflow_checkpoints::{self as checkpoints, Checkpoint};
use twinflow_compiler::stablehlo::Products;
use twinflow_data::{BatchPlan, Loader, Source};
use twinflow_runtime::{
    console::{OrReport, say},
    devices::Devices,
    world::World,
};
use twinflow_training::{State, Trainer};

use super::resume;
use crate::{
    cli::TrainArgs,
    config::{Config, ResolvedConfig, open_data},
    logging,
    run_folder::{Environment, RunFolder},
};

/// A run, ready to go.
pub struct Setup {
    /// The settings, what the dataset holds included.
    pub config: ResolvedConfig,
    /// Network, losses, optimizer: a trainer for each shape of samples.
    pub trainers: Arc<[Trainer]>,
    /// This rank's batches.
    pub loader: Loader,
    /// Where to compute.
    pub devices: Arc<Devices>,
    /// The state to start from.
    pub state: State<HostArray>,
    /// Steps it has done.
    pub step: u64,
    /// The run folder's path.
    pub folder: PathBuf,
    /// The run folder; rank 0 alone holds it.
    pub owned_folder: Option<RunFolder>,
}

impl Setup {
    /// Prepares a new or a resumed run; `None` if that is complete.
    ///
    /// # Errors
    /// Bad settings, data, plugin, checkpoint or folder: the same failure on all ranks.
    pub fn new(world: &World, args: &TrainArgs) -> Result<Option<Self>> {
        let config = shared_config(world, args)?;
        // A resumed run is locked before its checkpoints are looked at; a new folder is made when all else is fine.
        let mut owned_folder =
            world.on_root(|| Ok(args.resume.as_deref().map(RunFolder::resume).transpose()?))?.flatten();
        let checkpoint = shared_checkpoint(world, args)?;
        if let Some(step) = complete_at(&config, checkpoint.as_ref()) {
            say_complete(world, step, config.train.steps);
            return Ok(None);
        }
        let source = world.agree(open_data(&config.data, u64::from(config.run.seed)))?;
        let devices = world.agree(Devices::open(&config.device, world.local_rank()))?;
        let products = common_products(world, &devices);
        let config = ResolvedConfig::new(config, source.as_ref(), products);
        let trainers = world.agree(config.trainers(world.size(), &source.buckets()).map_err(Into::into))?;
        let trainer = &trainers[0];
        let loader = world.agree(loader(&config, source, trainer, world))?;
        world.agree(
            checkpoint
                .as_ref()
                .map_or(Ok(()), |checkpoint| resume::refuse_other_tokenizer(checkpoint, loader.source(), &config.data)),
        )?;
        let (state, step) = world.agree(first_state(&config, trainer, checkpoint.as_ref()))?;
        // Last, so that messages so far name files as the user does.
        let config = config.with_absolute_paths();
        if args.resume.is_none() {
            owned_folder = world.on_root(|| Ok(RunFolder::create(&config.run, &config.to_toml())?))?;
        } else {
            let write = |folder: &RunFolder| Ok(folder.write_config(&config.to_toml())?);
            world.on_root(|| owned_folder.as_ref().map_or(Ok(()), write))?;
        }
        let folder = share_path(world, owned_folder.as_ref().map(|folder| folder.path().to_owned()));
        logging::open_file(&folder.join("logs"), world.rank());
        let environment = Environment::find(world, &devices, step);
        world.on_root(|| note_environment(&environment, owned_folder.as_ref()))?;
        let devices = Arc::new(devices);
        Ok(Some(Setup { config, trainers, loader, devices, state, step, folder, owned_folder }))
    }
}

/// How products are made where ranks' devices differ: as on the least of them, so that all trace the same program.
fn common_products(world: &World, devices: &Devices) -> Products {
    let lacks_bf16 = world.all_reduce_max((!devices.products().native_bf16).into()) > 0;
    Products { native_bf16: !lacks_bf16, ..devices.products() }
}

/// Rank 0's settings on every rank, so that files that differ between machines cannot split a run.
fn shared_config(world: &World, args: &TrainArgs) -> Result<Config> {
    let own = world.on_root(|| {
        Ok(match &args.resume {
            None => args.config.load()?,
            Some(run) if !RunFolder::config_in(run).is_file() => RunFolder::resume(run).map(|_| Config::default())?,
            Some(run) => {
                resume::refuse_new_folder(run, &args.config.set)?;
                Config::from_file(&RunFolder::config_in(run), &args.config.set)?
            }
        })
    })?;
    let text = world.broadcast(own.as_ref().map_or(Vec::new(), |config| config.to_toml().into_bytes()));
    match own {
        Some(config) => Ok(config),
        None => Ok(Config::from_text("rank 0's settings", &String::from_utf8_lossy(&text), &[])?),
    }
}

fn loader(config: &Config, source: Arc<dyn Source>, trainer: &Trainer, world: &World) -> Result<Loader> {
    let sizes: Vec<usize> = trainer.parts().iter().map(|part| part.size).collect();
    let (micro_batches, devices) = (config.train.micro_batches, config.device.devices);
    let plan = BatchPlan::new(&sizes, world.size(), micro_batches, devices).or_report()?;
    let loader = Loader::new(source, plan, u64::from(config.run.seed), world.rank()).or_report()?;
    Ok(loader.with_horizontal_flip(config.data.flip))
}

/// The checkpoint that a resumed run goes on from, chosen by rank 0; none if the run was stopped before its first.
fn shared_checkpoint(world: &World, args: &TrainArgs) -> Result<Option<Checkpoint>> {
    let chosen = world.on_root(|| {
        let Some(run) = &args.resume else { return Ok(None) };
        let folder = run.join("checkpoints");
        match checkpoints::list(&folder).or_report()?.is_empty() {
            true => Ok(None),
            false => Ok(Some(checkpoints::resolve(&folder).or_report()?)),
        }
    })?;
    let path = share_path(world, chosen.flatten());
    let open = |path: &PathBuf| Checkpoint::open(path).or_report();
    world.agree(Some(&path).filter(|path| !path.as_os_str().is_empty()).map(open).transpose())
}

fn first_state(config: &Config, trainer: &Trainer, checkpoint: Option<&Checkpoint>) -> Result<(State<HostArray>, u64)> {
    let Some(checkpoint) = checkpoint else { return Ok((trainer.init(u64::from(config.run.seed)), 0)) };
    let step = checkpoint.metadata().step;
    let state: State<HostArray> = checkpoint.restore_into(&trainer.state_spec(), &ParamPath::root()).or_report()?;
    resume::refuse_phase_before(trainer, step, state.phase.to_f64()[0] as usize)?;
    Ok((state, step))
}

/// The step of a checkpoint after which there is no other.
fn complete_at(config: &Config, checkpoint: Option<&Checkpoint>) -> Option<u64> {
    checkpoint.map(|found| found.metadata().step).filter(|step| *step >= config.train.steps)
}

/// A job script that resumes until the program succeeds must come to an end, so that this is no error.
fn say_complete(world: &World, step: u64, steps: u64) {
    if world.is_root() {
        say(format!(
            "the run is complete: its newest checkpoint has {step} of {steps} steps; for more: --set train.steps=N with a \
             larger N"
        ));
    }
}

fn note_environment(environment: &Environment, folder: Option<&RunFolder>) -> Result<()> {
    let Some(folder) = folder else { return Ok(()) };
    resume::warn_of_other_cores(environment, Environment::read(&folder.environment()).last());
    Ok(environment.append(&folder.environment())?)
}

/// Rank 0's path on every rank; empty if it has none.
fn share_path(world: &World, path: Option<PathBuf>) -> PathBuf {
    let text = path.map_or(String::new(), |path| path.to_string_lossy().into_owned());
    PathBuf::from(String::from_utf8_lossy(&world.broadcast(text.into_bytes())).into_owned())
}
