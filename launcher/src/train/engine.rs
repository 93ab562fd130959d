//! The training state on the devices, and the compiled programs that move it on.

use std::time::{Duration, Instant};

use miette::Result;
use twinflow_array::{HostArray, TensorType as Spec, by_ref};
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
enum Programs {
    /// One process: the whole step is one program, with the average over its devices inside.
    Fused(Box<Jit<State<Spec>, Batch<Spec>, Updated>>),
    /// Several processes: MPI averages the gradients between two programs.
    Split { gradients: Box<GradientsJit>, update: Box<Jit<State<Spec>, Spec, Updated>> },
}

/// State and programs.
pub struct Engine<'a> {
    trainer: &'a Trainer,
    devices: &'a Devices,
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
    pub fn new(trainer: &'a Trainer, devices: &'a Devices, world: &'a World, state: &State<HostArray>) -> Result<Self> {
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

    /// Compiles the programs of a phase.
    ///
    /// # Errors
    /// What tracing and compiling met.
    pub fn prepare(&mut self, phase: Phase) -> Result<()> {
        // The old programs go first, so that the memory never holds both.
        self.programs = None;
        self.programs = Some((phase, self.compile(phase)?));
        Ok(())
    }

    fn compile(&self, phase: Phase) -> Result<Programs> {
        let started = Instant::now();
        let (devices, trainer, replicas) = (self.devices, self.trainer, self.states.len());
        let before = devices.cache().tally().loaded;
        let programs = if self.world.size() == 1 {
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

    /// Starts the TwinFlow phase: the teacher becomes a copy of the model.
    ///
    /// # Errors
    /// What compiling and running met.
    pub fn begin_twinflow(&mut self) -> Result<()> {
        let traced = programs::begin_twinflow(self.trainer).said()?;
        let begin = self.devices.compile(traced, self.states.len()).said()?;
        let states = std::mem::take(&mut self.states);
        let nothing = vec![None; states.len()];
        self.states = begin.call_replicas(states, nothing).said()?;
        Ok(())
    }

    /// One optimizer step on each device's batch, in the phase prepared.
    ///
    /// # Errors
    /// The plugin's; the state is lost then.
    pub fn step(&mut self, batches: Vec<Batch<Buffer>>) -> Result<StepOutcome> {
        let (_, programs) = self.programs.as_ref().expect("prepare comes before step");
        let states = std::mem::take(&mut self.states);
        let mut communication = Duration::ZERO;
        let results = match programs {
            Programs::Fused(step) => step.call_replicas(states, batches.iter().map(by_ref).collect()).said()?,
            Programs::Split { gradients, update } => {
                let kept = states.iter().zip(&batches).map(|(state, batch)| (by_ref(state), by_ref(batch)));
                let flat = gradients.call_replicas(states.iter().map(|_| None).collect(), kept.collect()).said()?;
                let mut flat = flat[0].to_host().said()?;
                let started = Instant::now();
                self.world.all_reduce_mean(flat.as_mut_slice::<f32>().said()?);
                communication = started.elapsed();
                let flat = self.on_every_device(&flat)?;
                update.call_replicas(states, flat.iter().collect()).said()?
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
