//! The training state on the devices, and the compiled programs that move it on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use miette::Result;
use twinflow_array::{HostArray, TensorType, Tree, by_ref, leaves, unflatten};
use twinflow_compiler::{Jit, pjrt::Buffer, to_device, to_host};
use twinflow_training::{Batch, Gradients, Metrics, State, Trainer};

use crate::{
    console::OrReport,
    devices::Devices,
    programs::{self, Nothing, Updated},
    world::World,
};

type GradientsJit = Jit<Nothing, (State<TensorType>, Batch<TensorType>), Gradients<TensorType>>;

/// The programs of one phase.
pub enum Programs {
    /// One process: the whole step is one program, with the average over its devices inside.
    Fused(Box<Jit<State<TensorType>, Batch<TensorType>, Updated>>),
    /// Several processes: MPI averages the gradients between two programs.
    Split {
        /// What comes before MPI.
        gradients: Box<GradientsJit>,
        /// What comes after it.
        update: Box<Jit<State<TensorType>, Gradients<TensorType>, Updated>>,
    },
}

/// State and programs.
pub struct Engine<'a> {
    trainer: Arc<Trainer>,
    devices: Arc<Devices>,
    world: &'a World,
    programs: Option<(usize, Programs)>,
    /// The phase that has begun.
    phase: usize,
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
        let states = states.collect::<Result<Vec<_>, _>>().or_report()?;
        Ok(Engine { trainer, devices, world, programs: None, phase: state.phase.to_f64()[0] as usize, states })
    }

    /// The state, on the first device.
    pub fn state(&self) -> &State<Buffer> {
        &self.states[0]
    }

    /// Whether the programs of a phase are compiled.
    pub fn is_ready_for(&self, phase: usize) -> bool {
        matches!(&self.programs, Some((ready, _)) if *ready == phase)
    }

    /// What compiles the programs of a phase, in any thread, for [`Engine::install`]. The old ones go first, so that the
    /// memory never holds both.
    pub fn compiling(&mut self, phase: usize) -> impl FnOnce() -> Result<Programs> + Send + 'static {
        self.programs = None;
        let (trainer, devices) = (self.trainer.clone(), self.devices.clone());
        let (replicas, alone) = (self.states.len(), self.world.size() == 1);
        move || compile(&trainer, &devices, phase, replicas, alone)
    }

    /// Makes the programs of a phase those that [`Engine::step`] runs.
    pub fn install(&mut self, phase: usize, programs: Programs) {
        self.programs = Some((phase, programs));
    }

    /// Begins a phase, unless the state is in it already: what its method keeps starts anew.
    ///
    /// # Errors
    /// What compiling and running met.
    pub fn begin(&mut self, phase: usize) -> Result<()> {
        if phase == self.phase {
            return Ok(());
        }
        let traced = programs::begin(&self.trainer, phase).or_report()?;
        let begin = self.devices.compile(traced, self.states.len()).or_report()?;
        let states = std::mem::take(&mut self.states);
        let nothing = states.iter().map(|_| None).collect();
        self.states = begin.call_replicas(states, nothing).or_report()?;
        self.phase = phase;
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
            Programs::Fused(step) => step.call_replicas(states, batches.iter().map(by_ref).collect()).or_report()?,
            Programs::Split { gradients, update } => {
                let kept = states.iter().zip(&batches).map(|(state, batch)| (by_ref(state), by_ref(batch)));
                let kept: Vec<_> = kept.collect();
                let mut made = gradients.call_replicas(kept.iter().map(|_| None).collect(), kept).or_report()?;
                let own = to_host(&made.swap_remove(0)).or_report()?;
                let started = Instant::now();
                let mean = self.average(own)?;
                communication = started.elapsed();
                let mean = self.on_every_device(&mean)?;
                update.call_replicas(states, mean.iter().map(by_ref).collect()).or_report()?
            }
        };
        let (states, metrics): (Vec<_>, Vec<_>) = results.into_iter().unzip();
        self.states = states;
        Ok(StepOutcome { metrics: to_host(&metrics[0]).or_report()?, communication })
    }

    /// The mean of the ranks' gradients, leaf by leaf.
    fn average(&self, gradients: Gradients<HostArray>) -> Result<Gradients<HostArray>> {
        let like = twinflow_array::map(&gradients, |_, leaf| leaf.ty().clone());
        let mut arrays = Vec::new();
        gradients.into_leaves(&mut arrays);
        let mut values = Vec::with_capacity(arrays.len());
        for array in &mut arrays {
            values.push(array.as_mut_slice::<f32>().or_report()?);
        }
        self.world.all_reduce_mean(&mut values);
        Ok(unflatten(&like, arrays))
    }

    fn on_every_device(&self, tree: &Gradients<HostArray>) -> Result<Vec<Gradients<Buffer>>> {
        let on_device = |device| {
            let buffers = leaves(tree).into_iter().map(|array| Buffer::from_host_zero_copy(device, array.clone()));
            Ok(unflatten(tree, buffers.collect::<Result<Vec<_>, _>>().or_report()?))
        };
        self.devices.all().iter().map(on_device).collect()
    }
}

fn compile(trainer: &Trainer, devices: &Devices, phase: usize, replicas: usize, alone: bool) -> Result<Programs> {
    let started = Instant::now();
    let before = devices.cache().tally().loaded;
    let programs = if alone {
        let step = programs::step(trainer, phase).or_report()?;
        Programs::Fused(Box::new(devices.compile(step, replicas).or_report()?))
    } else {
        let gradients = programs::gradients(trainer, phase).or_report()?;
        let update = programs::update(trainer, phase).or_report()?;
        Programs::Split {
            gradients: Box::new(devices.compile(gradients, replicas).or_report()?),
            update: Box::new(devices.compile(update, replicas).or_report()?),
        }
    };
    let from_cache = devices.cache().tally().loaded - before;
    let (phase, seconds) = (programs::phase_name(trainer, phase), started.elapsed().as_secs_f64());
    tracing::info!(phase, seconds, from_cache, "compiled");
    Ok(programs)
}
