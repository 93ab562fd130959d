//! The training state on the devices, and the compiled programs that move it on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use miette::Result;
use twinflow_array::{HostArray, TensorType as Spec};
use twinflow_compiler::pjrt::Buffer;
use twinflow_compiler::{Jit, to_device, to_host};
use twinflow_graphs::step::{Batch, Metrics, Phase, State, Trainer};

use crate::{
    devices::Devices,
    programs::{self, Nothing, Updated},
    said::Said,
    world::World,
};

type GradientsJit = Jit<Nothing, (State<Spec>, Batch<Spec>), Spec>;

/// The programs of one phase.
pub enum Programs {
    /// One process: the whole step is one program, with the average over its devices inside.
    Fused(Box<Jit<State<Spec>, Batch<Spec>, Updated>>),
    /// Several processes: MPI averages the gradients between two programs.
    Split { gradients: Box<GradientsJit>, update: Box<Jit<State<Spec>, Spec, Updated>> },
}

/// State and programs.
pub struct Engine<'a> {
    trainer: Arc<Trainer>,
    devices: Arc<Devices>,
    world: &'a World,
    programs: Option<(Phase, Programs)>,
    /// The same on every device.
    states: Vec<State<Buffer>>,
}

/// What a step gave.
pub struct StepOutcome {
    /// Loss, its terms and more; the same on all ranks.
    pub metrics: Metrics<HostArray>,
    /// Time spent in MPI.
    pub communication: Duration,
}

impl<'a> Engine<'a> {
    /// Puts a state on every device.
    ///
    /// # Errors
    /// The plugin's.
    pub fn new(
        trainer: Arc<Trainer>,
        devices: Arc<Devices>,
        world: &'a World,
        state: &State<HostArray>,
    ) -> Result<Self> {
        let states = devices.all().iter().map(|device| to_device(state, device));
        let states = states.collect::<Result<Vec<_>, _>>().said()?;
        Ok(Engine { trainer, devices, world, programs: None, states })
    }

    /// The state, on the first device.
    pub fn state(&self) -> &State<Buffer> {
        &self.states[0]
    }

    /// Whether the programs of a phase are compiled.
    pub fn is_ready_for(&self, phase: Phase) -> bool {
        matches!(&self.programs, Some((ready, _)) if *ready == phase)
    }

    /// What compiles the programs of a phase, in any thread, for [`Engine::install`]. The old ones go first, so that the
    /// memory never holds both.
    pub fn compiling(&mut self, phase: Phase) -> impl FnOnce() -> Result<Programs> + Send + 'static {
        self.programs = None;
        let (trainer, devices) = (self.trainer.clone(), self.devices.clone());
        let (replicas, alone) = (self.states.len(), self.world.size() == 1);
        move || compile(&trainer, &devices, phase, replicas, alone)
    }

    /// Makes the programs of a phase those that [`Engine::step`] runs.
    pub fn install(&mut self, phase: Phase, programs: Programs) {
        self.programs = Some((phase, programs));
    }

    /// Starts the TwinFlow phase: the teacher becomes a copy of the model.
    ///
    /// # Errors
    /// What compiling and running met.
    pub fn begin_twinflow(&mut self) -> Result<()> {
        let traced = programs::begin_twinflow(&self.trainer).said()?;
        let begin = self.devices.compile(traced, self.states.len()).said()?;
        let states = std::mem::take(&mut self.states);
        let nothing = vec![&None; states.len()];
        self.states = begin.call_replicas(states, &nothing).said()?;
        Ok(())
    }

    /// One optimizer step on each device's batch, in the phase prepared.
    ///
    /// # Errors
    /// The plugin's; the state is lost then.
    pub fn step(&mut self, batches: Vec<Batch<Buffer>>) -> Result<StepOutcome> {
        let (_, programs) = self.programs.as_ref().expect("install comes before step");
        let states = std::mem::take(&mut self.states);
        let mut communication = Duration::ZERO;
        let results = match programs {
            Programs::Fused(step) => {
                let batches: Vec<&Batch<Buffer>> = batches.iter().collect();
                step.call_replicas(states, &batches).said()?
            }
            Programs::Split { gradients, update } => {
                let kept: Vec<_> = states.into_iter().zip(batches).collect();
                let references: Vec<_> = kept.iter().collect();
                let flat = gradients.call_replicas(kept.iter().map(|_| None).collect(), &references).said()?;
                let mut flat = flat[0].to_host().said()?;
                let started = Instant::now();
                self.world.all_reduce_mean(flat.as_mut_slice::<f32>().said()?);
                communication = started.elapsed();
                let flat = self.on_every_device(&flat)?;
                let references: Vec<&Buffer> = flat.iter().collect();
                let states = kept.into_iter().map(|(state, _)| state).collect();
                update.call_replicas(states, &references).said()?
            }
        };
        let (states, metrics): (Vec<_>, Vec<_>) = results.into_iter().unzip();
        self.states = states;
        Ok(StepOutcome { metrics: to_host(&metrics[0]).said()?, communication })
    }

    fn on_every_device(&self, array: &HostArray) -> Result<Vec<Buffer>> {
        let devices = self.devices.all().iter();
        let buffers = devices.map(|device| Buffer::from_host_zero_copy(device, array.clone()));
        buffers.collect::<Result<_, _>>().said()
    }
}

fn compile(trainer: &Trainer, devices: &Devices, phase: Phase, replicas: usize, alone: bool) -> Result<Programs> {
    let started = Instant::now();
    let before = devices.cache().tally().loaded;
    let programs = if alone {
        let step = programs::step(trainer, phase).said()?;
        Programs::Fused(Box::new(devices.compile(step, replicas).said()?))
    } else {
        let gradients = programs::gradients(trainer, phase).said()?;
        let update = programs::update(trainer, phase).said()?;
        Programs::Split {
            gradients: Box::new(devices.compile(gradients, replicas).said()?),
            update: Box::new(devices.compile(update, replicas).said()?),
        }
    };
    let from_cache = devices.cache().tally().loaded - before;
    let (phase, seconds) = (programs::phase_name(phase), started.elapsed().as_secs_f64());
    tracing::info!(phase, seconds, from_cache, "compiled");
    Ok(programs)
}
