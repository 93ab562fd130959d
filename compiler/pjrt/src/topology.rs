//! Compiling for devices that are not there.

use std::{fmt, ptr, ptr::NonNull, sync::Arc};

use crate::{
    CompileOptions, CompiledProgram, OptionValue, PjrtError, Plugin, compiled_program::new_program,
    option_value::to_named_values, sys,
};

/// Devices to compile for, present or not. Clones are cheap.
#[derive(Clone)]
pub struct Topology {
    handle: Arc<TopologyHandle>,
    devices: usize,
}

/// The plugin's topology, freed on drop.
pub(crate) struct TopologyHandle {
    plugin: Plugin,
    raw: NonNull<sys::TopologyDescription>,
}

// SAFETY: a topology is only read after it is made, on any thread.
unsafe impl Send for TopologyHandle {}
// SAFETY: as above.
unsafe impl Sync for TopologyHandle {}

impl Topology {
    /// Describes devices by the plugin's options. CUDA takes `target_config` (a GPU's properties as a text proto) and
    /// `topology` (`slices x hosts x devices`, as `1x1x8`).
    ///
    /// # Errors
    /// The plugin's.
    pub fn create(plugin: &Plugin, options: &[(String, OptionValue)]) -> Result<Self, PjrtError> {
        let values = to_named_values(options);
        let name = "";
        // SAFETY: name and options live through the call, which copies them; the result is ours.
        let raw = unsafe {
            let args = plugin.call::<sys::TopologyDescription_Create>(|args| {
                args.topology_name = name.as_ptr().cast();
                args.topology_name_size = name.len();
                args.create_options = values.as_ptr();
                args.num_options = values.len();
            })?;
            plugin.returned::<sys::TopologyDescription_Create, _>(args.topology)?
        };
        let handle = Arc::new(TopologyHandle { plugin: *plugin, raw });
        // SAFETY: the topology is live.
        let devices = unsafe {
            plugin.call::<sys::TopologyDescription_GetDeviceDescriptions>(|args| args.topology = raw.as_ptr())?
        };
        Ok(Topology { handle, devices: devices.num_descriptions })
    }

    /// How many devices it has.
    pub fn device_count(&self) -> usize {
        self.devices
    }

    /// Compiles a StableHLO module for these devices. The result is not loaded: it tells its memory plan, and its
    /// serialized form can be loaded where the devices are.
    ///
    /// # Errors
    /// [`PjrtError::TopologySize`], else as [`crate::Client::compile`].
    pub fn compile(&self, stablehlo: &str, options: &CompileOptions) -> Result<CompiledProgram, PjrtError> {
        let (replicas, partitions) = (options.replicas, options.partitions);
        if replicas * partitions > self.devices {
            return Err(PjrtError::TopologySize { replicas, partitions, devices: self.devices });
        }
        let plugin = self.handle.plugin;
        let options = options.encode();
        let program = new_program(stablehlo.as_ptr().cast_mut(), stablehlo.len(), "mlir");
        // SAFETY: topology, program and options live through the call, which only reads them; without a client the
        // header allows null; the result is ours.
        unsafe {
            let args = plugin.call::<sys::Compile>(|args| {
                args.topology = self.handle.raw.as_ptr();
                args.program = &raw const program;
                args.compile_options = options.as_ptr().cast();
                args.compile_options_size = options.len();
                args.client = ptr::null_mut();
            })?;
            let raw = plugin.returned::<sys::Compile, _>(args.executable)?;
            CompiledProgram::from_raw(plugin, raw, self.handle.clone())
        }
    }
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topology({} devices, {:?})", self.devices, self.handle.plugin)
    }
}

impl Drop for TopologyHandle {
    fn drop(&mut self) {
        let free = |args: &mut sys::TopologyDescription_Destroy| args.topology = self.raw.as_ptr();
        // SAFETY: this was the last owner. An error here has nobody to hear it.
        let _ = unsafe { self.plugin.call::<sys::TopologyDescription_Destroy>(free) };
    }
}
