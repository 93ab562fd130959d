//! The training state on the devices, and the compiled programs that move it on.

use std::{
    collections::BTreeMap,
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

type UpdateJit = Jit<State<TensorType>, Gradients<TensorType>, Updated>;
type GradientsJit = Jit<Nothing, (State<TensorType>, Batch<TensorType>), Gradients<TensorType>>;

/// The programs of one phase for samples of one shape.
pub enum Programs {
    /// One process: the whole step is one program, with the average over its devices inside.
    Fused(Box<Jit<State<TensorType>, Batch<TensorType>, Updated>>),
    /// Several processes: MPI averages the gradients between two programs.
    Split {
        /// What comes before MPI.
        gradients: Box<GradientsJit>,
        /// What comes after it: the same for all shapes.
        update: Arc<UpdateJit>,
    },
}

/// State and programs.
pub struct Engine<'a> {
    /// One for each shape of samples; they differ in nothing else.
    trainers: Arc<[Trainer]>,
    devices: Arc<Devices>,
    world: &'a World,
    /// By phase and number of the shape, as its turn comes; of one phase at a time.
    programs: BTreeMap<(usize, usize), Programs>,
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
        trainers: Arc<[Trainer]>,
        devices: Arc<Devices>,
        world: &'a World,
        state: &State<HostArray>,
    ) -> Result<Self> {
        let states = devices.all().iter().map(|device| to_device(state, device));
        let states = states.collect::<Result<Vec<_>, _>>().or_report()?;
        let phase = state.phase.to_f64()[0] as usize;
        Ok(Engine { trainers, devices, world, programs: BTreeMap::new(), phase, states })
    }

    /// The state, on the first device.
    pub fn state(&self) -> &State<Buffer> {
        &self.states[0]
    }

    /// Whether the programs of a phase are compiled for samples of the shape of that number.
    pub fn is_ready_for(&self, phase: usize, bucket: usize) -> bool {
        self.programs.contains_key(&(phase, bucket))
    }

    /// What compiles the programs of a phase for a shape, in any thread, for [`Engine::install`]. Those of another phase
    /// go first, so that the memory never holds both.
    pub fn compiling(&mut self, phase: usize, bucket: usize) -> impl FnOnce() -> Result<Programs> + Send + 'static {
        self.programs.retain(|(compiled, _), _| *compiled == phase);
        let known = self.programs.values().find_map(|programs| match programs {
            Programs::Split { update, .. } => Some(update.clone()),
            Programs::Fused(_) => None,
        });
        let (trainers, devices) = (self.trainers.clone(), self.devices.clone());
        let (replicas, alone) = (self.states.len(), self.world.size() == 1);
        move || match alone {
            true => compile_fused(&trainers[bucket], &devices, phase, replicas),
            false => compile_split(&trainers[bucket], &devices, phase, replicas, known),
        }
    }

    /// Makes these the programs that [`Engine::step`] runs in a phase for a shape.
    pub fn install(&mut self, phase: usize, bucket: usize, programs: Programs) {
        self.programs.insert((phase, bucket), programs);
    }

    /// Begins a phase, unless the state is in it already: what its method keeps starts anew.
    ///
    /// # Errors
    /// What compiling and running met.
    pub fn begin(&mut self, phase: usize) -> Result<()> {
        if phase == self.phase {
            return Ok(());
        }
        let traced = programs::begin(&self.trainers[0], phase).or_report()?;
        let begin = self.devices.compile(traced, self.states.len()).or_report()?;
        let states = std::mem::take(&mut self.states);
        let nothing = states.iter().map(|_| None).collect();
        self.states = begin.call_replicas(states, nothing).or_report()?;
        self.phase = phase;
        Ok(())
    }

    /// One optimizer step on each device's batch of samples of one shape, in the phase that has begun.
    ///
    /// # Errors
    /// The plugin's; the state is lost then.
    pub fn step(&mut self, bucket: usize, batches: Vec<Batch<Buffer>>) -> Result<StepOutcome> {
        let programs = self.programs.get(&(self.phase, bucket)).expect("install and begin come before step");
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

fn compile_fused(trainer: &Trainer, devices: &Devices, phase: usize, replicas: usize) -> Result<Programs> {
    timed(trainer, devices, phase, || {
        let step = programs::step(trainer, phase).or_report()?;
        Ok(Programs::Fused(Box::new(devices.compile(step, replicas).or_report()?)))
    })
}

/// With an update that is compiled already, if there is one.
fn compile_split(
    trainer: &Trainer,
    devices: &Devices,
    phase: usize,
    replicas: usize,
    update: Option<Arc<UpdateJit>>,
) -> Result<Programs> {
    timed(trainer, devices, phase, || {
        let gradients = programs::gradients(trainer, phase).or_report()?;
        let gradients = Box::new(devices.compile(gradients, replicas).or_report()?);
        let update = match update {
            Some(update) => update,
            None => Arc::new(devices.compile(programs::update(trainer, phase).or_report()?, replicas).or_report()?),
        };
        Ok(Programs::Split { gradients, update })
    })
}

/// Logs what compiling took.
fn timed(
    trainer: &Trainer,
    devices: &Devices,
    phase: usize,
    compile: impl FnOnce() -> Result<Programs>,
) -> Result<Programs> {
    let (started, before) = (Instant::now(), devices.cache().tally().loaded);
    let programs = compile()?;
    let from_cache = devices.cache().tally().loaded - before;
    let (phase, [height, width, _]) = (programs::phase_name(trainer, phase), trainer.sample_shape());
    tracing::info!(phase, height, width, seconds = started.elapsed().as_secs_f64(), from_cache, "compiled");
    Ok(programs)
}
