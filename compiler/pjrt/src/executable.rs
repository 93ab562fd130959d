//! Programs loaded on devices, and their execution.

use std::{collections::BTreeSet, fmt, mem, ops::Deref, ptr, ptr::NonNull, sync::Arc};

use crate::{
    Buffer, CompileOptions, CompiledProgram, PjrtError, client::ClientHandle, compiled_program::new_program, sys,
};

/// A compiled program, loaded on the devices of a client.
pub struct Executable {
    loaded: Loaded,
    program: CompiledProgram,
    devices: usize,
    outputs: usize,
}

// SAFETY: PJRT executables may be run and freed on any thread.
unsafe impl Send for Executable {}
// SAFETY: as above.
unsafe impl Sync for Executable {}

/// An argument of an execution.
#[derive(Debug)]
pub enum Arg<'a> {
    /// The buffer stays as it is, also where the program marks this argument as donated (XLA then copies it).
    Keep(&'a Buffer),
    /// The program may reuse the buffer's memory for its outputs.
    Donate(Buffer),
}

impl Arg<'_> {
    fn buffer(&self) -> &Buffer {
        match self {
            Arg::Keep(buffer) => buffer,
            Arg::Donate(buffer) => buffer,
        }
    }

    /// Whether XLA may write to the buffer's memory.
    fn is_donatable(&self) -> bool {
        matches!(self, Arg::Donate(buffer) if !buffer.borrows_host())
    }
}

impl Executable {
    pub(crate) fn compile(
        client: &Arc<ClientHandle>,
        stablehlo: &str,
        options: &CompileOptions,
    ) -> Result<Self, PjrtError> {
        let options = options.encode();
        let program = new_program(stablehlo.as_ptr().cast_mut(), stablehlo.len(), "mlir");
        // SAFETY: client, program and options live through the call, which only reads them; the result is ours.
        unsafe {
            let args = client.plugin.call::<sys::Client_Compile>(|args| {
                args.client = client.raw();
                args.program = &raw const program;
                args.compile_options = options.as_ptr().cast();
                args.compile_options_size = options.len();
            })?;
            Self::from_raw(client, client.plugin.returned::<sys::Client_Compile, _>(args.executable)?)
        }
    }

    pub(crate) fn deserialize(client: &Arc<ClientHandle>, serialized: &[u8]) -> Result<Self, PjrtError> {
        // SAFETY: client and bytes live through the call, which only reads them; the result is ours.
        unsafe {
            let args = client.plugin.call::<sys::Executable_DeserializeAndLoad>(|args| {
                args.client = client.raw();
                args.serialized_executable = serialized.as_ptr().cast();
                args.serialized_executable_size = serialized.len();
            })?;
            let raw = client.plugin.returned::<sys::Executable_DeserializeAndLoad, _>(args.loaded_executable)?;
            Self::from_raw(client, raw)
        }
    }

    /// # Safety
    /// `raw` must be a live executable of `client` that nobody else frees.
    unsafe fn from_raw(client: &Arc<ClientHandle>, raw: NonNull<sys::LoadedExecutable>) -> Result<Self, PjrtError> {
        let plugin = client.plugin;
        let loaded = Loaded { client: client.clone(), raw };
        // SAFETY: the loaded executable is live; the executable behind it is ours to free.
        unsafe {
            let args =
                plugin.call::<sys::LoadedExecutable_GetExecutable>(|args| args.loaded_executable = raw.as_ptr())?;
            let executable = plugin.returned::<sys::LoadedExecutable_GetExecutable, _>(args.executable)?;
            let program = CompiledProgram::from_raw(plugin, executable, client.clone())?;
            let devices =
                plugin.call::<sys::LoadedExecutable_AddressableDevices>(|args| args.executable = raw.as_ptr())?;
            let outputs = program.output_count()?;
            Ok(Executable { loaded, program, devices: devices.num_addressable_devices, outputs })
        }
    }

    /// How many devices of this process the program runs on.
    pub fn device_count(&self) -> usize {
        self.devices
    }

    /// Starts the program on all its devices in this process with one list of arguments per device, and returns the
    /// outputs of each. Returns when the work is queued: an error of the work itself shows in the outputs.
    ///
    /// An argument that is kept on one device is kept on all.
    ///
    /// # Errors
    /// Wrong numbers of lists or arguments, a buffer of another client, and the plugin's (wrong type or device).
    /// Donated buffers are gone in any case.
    pub fn execute(&self, arguments: Vec<Vec<Arg<'_>>>) -> Result<Vec<Vec<Buffer>>, PjrtError> {
        self.check(&arguments)?;
        let raw_lists: Vec<Vec<*mut sys::Buffer>> =
            arguments.iter().map(|list| list.iter().map(|arg| arg.buffer().raw()).collect()).collect();
        let argument_lists: Vec<*const *mut sys::Buffer> = raw_lists.iter().map(|list| list.as_ptr()).collect();
        let mut raw_outputs = vec![vec![ptr::null_mut::<sys::Buffer>(); self.outputs]; self.devices];
        let output_lists: Vec<*mut *mut sys::Buffer> = raw_outputs.iter_mut().map(|list| list.as_mut_ptr()).collect();
        let kept = kept_indices(&arguments);
        let mut options = Options::new(&kept);

        // SAFETY: the lists have one entry per device of the program, the inner ones `num_args` live buffers of this
        // client and room for all outputs. Buffers that the caller keeps, or whose memory is a host array's, are named
        // as not donatable; the others were moved here and are used no more.
        unsafe {
            self.client().plugin.call::<sys::LoadedExecutable_Execute>(|args| {
                args.executable = self.loaded.raw.as_ptr();
                args.options = &raw mut options.options;
                args.argument_lists = argument_lists.as_ptr();
                args.num_devices = self.devices;
                args.num_args = raw_lists.first().map_or(0, Vec::len);
                args.output_lists = output_lists.as_ptr();
            })?;
            self.take_outputs(&raw_outputs)
        }
    }

    /// # Safety
    /// The pointers must be what an execution returned.
    unsafe fn take_outputs(&self, raw: &[Vec<*mut sys::Buffer>]) -> Result<Vec<Vec<Buffer>>, PjrtError> {
        let take = |buffer: &*mut sys::Buffer| {
            let buffer = self.client().plugin.returned::<sys::LoadedExecutable_Execute, _>(*buffer)?;
            // SAFETY: the output is live and ours; an output never lies in memory that XLA may not write.
            unsafe { Buffer::from_raw(self.client(), buffer, false) }
        };
        raw.iter().map(|list| list.iter().map(take).collect()).collect()
    }

    fn check(&self, arguments: &[Vec<Arg<'_>>]) -> Result<(), PjrtError> {
        let program = || self.name().to_owned();
        if arguments.len() != self.devices {
            let (expected, actual) = (self.devices, arguments.len());
            return Err(PjrtError::DeviceCount { program: program(), expected, actual });
        }
        let expected = arguments.first().map_or(0, Vec::len);
        for (device, list) in arguments.iter().enumerate() {
            if list.len() != expected {
                return Err(PjrtError::ArgumentCount { program: program(), device, expected, actual: list.len() });
            }
            let foreign = |arg: &Arg<'_>| !Arc::ptr_eq(arg.buffer().client(), self.client());
            if let Some(argument) = list.iter().position(foreign) {
                let ty = list[argument].buffer().ty().clone();
                return Err(PjrtError::ForeignBuffer { program: program(), device, argument, ty });
            }
        }
        Ok(())
    }

    fn client(&self) -> &Arc<ClientHandle> {
        &self.loaded.client
    }
}

/// The arguments that XLA may not write to on at least one device, in order.
fn kept_indices(arguments: &[Vec<Arg<'_>>]) -> Vec<i64> {
    let kept = |list: &Vec<Arg<'_>>| {
        let kept = list.iter().enumerate().filter(|(_, arg)| !arg.is_donatable());
        kept.map(|(index, _)| index as i64).collect::<Vec<_>>()
    };
    arguments.iter().flat_map(kept).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Execute options with room for the fields of newer plugins.
#[repr(C)]
struct Options {
    options: sys::ExecuteOptions,
    padding: [usize; 32],
}

impl Options {
    /// The indices must outlive the execute call.
    fn new(kept: &[i64]) -> Self {
        // SAFETY: numbers and raw pointers only, so zero bytes are a value.
        let mut options: Options = unsafe { mem::zeroed() };
        options.options.struct_size = size_of::<Options>();
        options.options.non_donatable_input_indices = kept.as_ptr();
        options.options.num_non_donatable_input_indices = kept.len();
        options
    }
}

impl Deref for Executable {
    type Target = CompiledProgram;

    /// What the program says of itself.
    fn deref(&self) -> &CompiledProgram {
        &self.program
    }
}

impl fmt::Debug for Executable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Executable({}, {} devices)", self.name(), self.devices)
    }
}

/// The plugin's loaded executable, freed on drop.
struct Loaded {
    client: Arc<ClientHandle>,
    raw: NonNull<sys::LoadedExecutable>,
}

impl Drop for Loaded {
    fn drop(&mut self) {
        let free = |args: &mut sys::LoadedExecutable_Destroy| args.executable = self.raw.as_ptr();
        // SAFETY: the executable is ours and used no more. An error here has nobody to hear it.
        let _ = unsafe { self.client.plugin.call::<sys::LoadedExecutable_Destroy>(free) };
    }
}
