//! What programs are compiled for to learn what they need: a GPU that is not here, or the device of this machine.

use miette::Result;
use twinflow_compiler::{
    pjrt::{CompileOptions, CudaToolkit, Device, Executable, GpuTarget, MemoryPlan, Platform, Plugin, Topology},
    stablehlo::Products,
};

use crate::{
    DeviceConfig,
    console::OrReport,
    devices::{self, Devices},
};

/// The name of this machine's device among targets.
const HERE: &str = "here";

/// A device to compile for.
pub struct Target {
    /// Its kind.
    pub name: String,
    /// Bytes of its memory, if that is known.
    pub memory: Option<u64>,
    /// Bytes that a run may take of it.
    pub memory_for_a_run: Option<u64>,
    /// Peak rates, if it is a GPU: bytes per second of its memory, and FLOP/s of bf16 products (where known).
    pub rates: Option<(f64, Option<f64>)>,
    compiler: Compiler,
    optimization_level: i64,
}

enum Compiler {
    Absent(Topology, CudaToolkit),
    Here(Devices),
}

impl Target {
    /// The target of a name, for as many devices as a process has.
    ///
    /// # Errors
    /// An unknown name, a file that describes no GPU, no CUDA plugin, no ptxas; for this machine's device, as
    /// [`Devices::open`].
    pub fn open(name: &str, config: &DeviceConfig) -> Result<Self> {
        if name == HERE { Self::here(config) } else { Self::absent(name, config) }
    }

    fn here(config: &DeviceConfig) -> Result<Self> {
        let devices = Devices::open(config, 0)?;
        let device = &devices.all()[0];
        let limit = device.memory().and_then(|memory| memory.limit);
        let memory = limit.or_else(|| devices::host_memory("MemTotal"));
        Ok(Target {
            name: format!("{} of this machine", device.kind()),
            memory,
            memory_for_a_run: memory,
            rates: None,
            optimization_level: config.optimization_level,
            compiler: Compiler::Here(devices),
        })
    }

    fn absent(name: &str, config: &DeviceConfig) -> Result<Self> {
        let gpu = GpuTarget::find(name).or_report()?;
        let plugin = Plugin::discover(Platform::Cuda, devices::named_plugin(config)).or_report()?;
        let toolkit = CudaToolkit::discover().or_report()?;
        let topology = gpu.topology(&plugin, config.devices).or_report()?;
        Ok(Target {
            name: gpu.name().to_owned(),
            memory: Some(gpu.memory()),
            memory_for_a_run: Some((gpu.memory() as f64 * config.memory_fraction) as u64),
            rates: Some((gpu.bandwidth() as f64, gpu.bf16_rate())),
            optimization_level: config.optimization_level,
            compiler: Compiler::Absent(topology, toolkit),
        })
    }

    /// How products are written for it.
    pub fn products(&self) -> Products {
        match &self.compiler {
            // Such targets are GPUs.
            Compiler::Absent(..) => Products { for_cpu: false, ..Products::default() },
            Compiler::Here(devices) => devices.products(),
        }
    }

    /// How to compile a program that runs on `replicas` devices at once.
    pub fn compile_options(&self, replicas: usize) -> CompileOptions {
        let options = devices::compile_options(self.optimization_level, replicas);
        match &self.compiler {
            Compiler::Absent(_, toolkit) => toolkit.compile_options(options),
            Compiler::Here(_) => options,
        }
    }

    /// Compiles a program: XLA's plan of the memory on each device, and what runs it if the devices are here.
    ///
    /// # Errors
    /// The plugin's.
    pub fn compile(&self, stablehlo: &str, options: &CompileOptions) -> Result<(MemoryPlan, Option<Executable>)> {
        Ok(match &self.compiler {
            Compiler::Absent(topology, _) => {
                (topology.compile(stablehlo, options).and_then(|program| program.memory()).or_report()?, None)
            }
            Compiler::Here(devices) => {
                let executable = devices.client().compile(stablehlo, options).or_report()?;
                (executable.memory().or_report()?, Some(executable))
            }
        })
    }

    /// The devices, if they are here.
    pub fn devices(&self) -> &[Device] {
        match &self.compiler {
            Compiler::Absent(..) => &[],
            Compiler::Here(devices) => devices.all(),
        }
    }
}
