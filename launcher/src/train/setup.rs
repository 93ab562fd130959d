//! Everything that a run needs before its first step. Each part is agreed on by all ranks, so that what one of them
//! cannot do ends all of them with one message, before anything is written.

use std::{path::PathBuf, sync::Arc};

use miette::{Result, miette};
use twinflow_array::{HostArray, ParamPath};
use twinflow_checkpoints::{self as checkpoints, Checkpoint};
use twinflow_data::{BatchPlan, Loader, Source};
use twinflow_graphs::step::{State, Trainer};

use crate::{
    cli::TrainArgs, config::Config, data_source, devices::Devices, logging, run_folder::RunFolder, said::Said,
    world::World,
};

/// A run, ready to go.
pub struct Setup {
    /// The settings, what the dataset holds included.
    pub config: Config,
    /// Network, losses, optimizer.
    pub trainer: Trainer,
    /// This rank's batches.
    pub loader: Loader,
    /// Where to compute.
    pub devices: Devices,
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
    /// Prepares a new or a resumed run.
    ///
    /// # Errors
    /// Bad settings, data, plugin, checkpoint or folder: the same failure on all ranks.
    pub fn new(world: &World, args: &TrainArgs) -> Result<Self> {
        let mut config = shared_config(world, args)?;
        // A resumed run is locked before its checkpoints are looked at; a new folder is made when all else is fine.
        let mut owned_folder =
            world.on_root(|| Ok(args.resume.as_deref().map(RunFolder::resume).transpose()?))?.flatten();
        let source = world.agree(data_source::open(&mut config.data, u64::from(config.run.seed)))?;
        let trainer = world.agree(config.trainer(world.size()).map_err(Into::into))?;
        let loader = world.agree(loader(&config, source, &trainer, world))?;
        let checkpoint = shared_checkpoint(world, args)?;
        let (state, step) = world.agree(first_state(&config, &trainer, checkpoint.as_ref()))?;
        let devices = world.agree(Devices::open(&config.device, world.local_rank()))?;
        if args.resume.is_none() {
            owned_folder = world.on_root(|| Ok(RunFolder::create(&config.run, &config.to_toml())?))?;
        } else {
            let write = |folder: &RunFolder| Ok(folder.write_config(&config.to_toml())?);
            world.on_root(|| owned_folder.as_ref().map_or(Ok(()), write))?;
        }
        let folder = share_path(world, owned_folder.as_ref().map(|folder| folder.path().to_owned()));
        logging::start(Some(&folder.join("logs")), world.rank(), world.is_root());
        Ok(Setup { config, trainer, loader, devices, state, step, folder, owned_folder })
    }
}

/// Rank 0's settings on every rank, so that files that differ between machines cannot split a run.
fn shared_config(world: &World, args: &TrainArgs) -> Result<Config> {
    let own = world.on_root(|| {
        Ok(match &args.resume {
            None => Config::from_args(&args.config)?,
            Some(run) if !RunFolder::config_in(run).is_file() => RunFolder::resume(run).map(|_| Config::default())?,
            Some(run) => Config::from_file(&RunFolder::config_in(run), &args.config.set)?,
        })
    })?;
    let text = world.broadcast(own.as_ref().map_or(Vec::new(), |config| config.to_toml().into_bytes()));
    match own {
        Some(config) => Ok(config),
        None => Ok(Config::from_text("rank 0's settings", &String::from_utf8_lossy(&text), &[])?),
    }
}

fn loader(config: &Config, source: Arc<dyn Source>, trainer: &Trainer, world: &World) -> Result<Loader> {
    let parts = trainer.parts();
    let sizes = [parts.e2e, parts.mul, parts.any, parts.adv];
    let (micro_batches, devices) = (config.train.micro_batches, config.device.devices);
    let plan = BatchPlan::new(&sizes, world.size(), micro_batches, devices).said()?;
    let loader = Loader::new(source, plan, u64::from(config.run.seed), world.rank()).said()?;
    Ok(loader.with_horizontal_flip(config.data.flip))
}

/// The checkpoint that a resumed run goes on from, chosen by rank 0; none if the run was stopped before its first.
fn shared_checkpoint(world: &World, args: &TrainArgs) -> Result<Option<Checkpoint>> {
    let chosen = world.on_root(|| {
        let Some(run) = &args.resume else { return Ok(None) };
        let folder = run.join("checkpoints");
        match checkpoints::list(&folder).said()?.is_empty() {
            true => Ok(None),
            false => Ok(Some(checkpoints::resolve(&folder).said()?)),
        }
    })?;
    let path = share_path(world, chosen.flatten());
    let open = |path: &PathBuf| Checkpoint::open(path).said();
    world.agree(Some(&path).filter(|path| !path.as_os_str().is_empty()).map(open).transpose())
}

fn first_state(config: &Config, trainer: &Trainer, checkpoint: Option<&Checkpoint>) -> Result<(State<HostArray>, u64)> {
    let Some(checkpoint) = checkpoint else { return Ok((trainer.init(u64::from(config.run.seed)), 0)) };
    let step = checkpoint.metadata().step;
    if step >= config.train.steps {
        return Err(miette!(
            help = "for more: --set train.steps=N with a larger N",
            "the run is complete: its newest checkpoint has {step} of {} steps",
            config.train.steps
        ));
    }
    let state = checkpoint.restore_into(&trainer.state_spec(), &ParamPath::root()).said()?;
    Ok((state, step))
}

/// Rank 0's path on every rank; empty if it has none.
fn share_path(world: &World, path: Option<PathBuf>) -> PathBuf {
    let text = path.map_or(String::new(), |path| path.to_string_lossy().into_owned());
    PathBuf::from(String::from_utf8_lossy(&world.broadcast(text.into_bytes())).into_owned())
}
