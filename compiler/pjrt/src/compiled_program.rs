//! What a compiled program says of itself.

use std::{any::Any, collections::BTreeMap, fmt, ptr, ptr::NonNull, sync::Arc};

use twinflow_array::{Shape, TensorType};

use crate::{
    OptionValue, PjrtError, Plugin, element_type,
    option_value::{list, read_named_values, text},
    sys,
};

/// A compiled program, loaded on devices ([`crate::Executable`]) or not ([`crate::Topology::compile`]).
pub struct CompiledProgram {
    plugin: Plugin,
    raw: NonNull<sys::Executable>,
    name: String,
    outputs: Vec<TensorType>,
    _owner: Owner,
}

/// What a program was compiled for: kept alive as long as it, never read.
pub(crate) type Owner = Arc<dyn Any + Send + Sync>;

/// XLA's plan of a program's memory on one device, in bytes. Not in it: the CUDA context, NCCL's and cuDNN's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPlan {
    /// The arguments.
    pub argument: u64,
    /// The outputs, those in donated arguments included.
    pub output: u64,
    /// Outputs that lie in donated arguments.
    pub alias: u64,
    /// Intermediate values.
    pub temp: u64,
    /// Machine code.
    pub generated_code: u64,
    /// The most in use at once; 0 if the plugin does not say.
    pub peak: u64,
}

/// The program after XLA's passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptimizedProgram {
    /// The format's name, for example `hlo_with_config` (a binary HloModuleProtoWithConfig).
    pub format: String,
    /// The program in that format.
    pub code: Vec<u8>,
}

// SAFETY: PJRT executables may be used and freed on any thread.
unsafe impl Send for CompiledProgram {}
// SAFETY: as above; no function changes them.
unsafe impl Sync for CompiledProgram {}

impl CompiledProgram {
    /// # Safety
    /// `raw` must be a live executable of `plugin` that nobody else frees, made for `owner`.
    pub(crate) unsafe fn from_raw(
        plugin: Plugin,
        raw: NonNull<sys::Executable>,
        owner: Owner,
    ) -> Result<Self, PjrtError> {
        let mut program = CompiledProgram { plugin, raw, name: String::new(), outputs: Vec::new(), _owner: owner };
        // From here on a failure frees the executable.
        program.name = program.read_name()?;
        program.outputs = program.read_outputs()?;
        Ok(program)
    }

    fn read_name(&self) -> Result<String, PjrtError> {
        // SAFETY: the text lives as long as the executable.
        unsafe {
            let args = self.plugin.call::<sys::Executable_Name>(|args| args.executable = self.raw())?;
            Ok(text(args.executable_name, args.executable_name_size))
        }
    }

    fn read_outputs(&self) -> Result<Vec<TensorType>, PjrtError> {
        // SAFETY: the lists live as long as the executable; `dims` holds the dims of all outputs, one after another,
        // and `dim_sizes` their numbers.
        unsafe {
            let types = self.plugin.call::<sys::Executable_OutputElementTypes>(|args| args.executable = self.raw())?;
            let shapes = self.plugin.call::<sys::Executable_OutputDimensions>(|args| args.executable = self.raw())?;
            let ranks = list(shapes.dim_sizes, shapes.num_outputs);
            let mut dims = list(shapes.dims, ranks.iter().sum()).iter();
            let elements = list(types.output_types, types.num_output_types);
            elements
                .iter()
                .zip(ranks)
                .map(|(element, rank)| {
                    let shape: Shape = dims.by_ref().take(*rank).map(|dim| *dim as usize).collect();
                    Ok(TensorType::new(element_type::from_raw(*element)?, shape))
                })
                .collect()
        }
    }

    /// The module's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The types of the outputs on one device.
    pub fn outputs(&self) -> &[TensorType] {
        &self.outputs
    }

    /// How many copies run together.
    ///
    /// # Errors
    /// The plugin's.
    pub fn replicas(&self) -> Result<usize, PjrtError> {
        // SAFETY: the executable is live.
        let args = unsafe { self.plugin.call::<sys::Executable_NumReplicas>(|args| args.executable = self.raw())? };
        Ok(args.num_replicas)
    }

    /// How many devices share one copy.
    ///
    /// # Errors
    /// The plugin's.
    pub fn partitions(&self) -> Result<usize, PjrtError> {
        // SAFETY: the executable is live.
        let args = unsafe { self.plugin.call::<sys::Executable_NumPartitions>(|args| args.executable = self.raw())? };
        Ok(args.num_partitions)
    }

    /// XLA's plan of the memory on one device.
    ///
    /// # Errors
    /// The plugin's, if it makes none.
    pub fn memory(&self) -> Result<MemoryPlan, PjrtError> {
        // SAFETY: the executable is live.
        let stats =
            unsafe { self.plugin.call::<sys::Executable_GetCompiledMemoryStats>(|args| args.executable = self.raw())? };
        let bytes = |value: i64| value.max(0) as u64;
        Ok(MemoryPlan {
            argument: bytes(stats.argument_size_in_bytes),
            output: bytes(stats.output_size_in_bytes),
            alias: bytes(stats.alias_size_in_bytes),
            temp: bytes(stats.temp_size_in_bytes),
            generated_code: bytes(stats.generated_code_size_in_bytes),
            peak: bytes(stats.peak_memory_in_bytes),
        })
    }

    /// XLA's estimates by name (`flops`, `bytes accessed`, ..).
    ///
    /// # Errors
    /// The plugin's, if it makes none (a program that is not loaded has none).
    pub fn cost_analysis(&self) -> Result<BTreeMap<String, f64>, PjrtError> {
        // SAFETY: the properties live as long as the executable.
        let properties = unsafe {
            let args = self.plugin.call::<sys::Executable_GetCostAnalysis>(|args| args.executable = self.raw())?;
            read_named_values(args.properties, args.num_properties)
        };
        let number = |value| match value {
            OptionValue::Float(value) => Some(value),
            OptionValue::Int(value) => Some(value as f64),
            _ => None,
        };
        Ok(properties.into_iter().filter_map(|(name, value)| Some((name, number(value)?))).collect())
    }

    /// Bytes that are equal for equal programs, options and compilers.
    ///
    /// # Errors
    /// The plugin's, if it makes none.
    pub fn fingerprint(&self) -> Result<Vec<u8>, PjrtError> {
        // SAFETY: the bytes live as long as the executable.
        unsafe {
            let args = self.plugin.call::<sys::Executable_Fingerprint>(|args| args.executable = self.raw())?;
            Ok(list(args.executable_fingerprint.cast::<u8>(), args.executable_fingerprint_size).to_vec())
        }
    }

    /// The compiled program as bytes for [`crate::Client::deserialize`]: loads much faster than it compiles, with the
    /// same plugin on the same kind of device.
    ///
    /// # Errors
    /// The plugin's.
    pub fn serialize(&self) -> Result<Vec<u8>, PjrtError> {
        // SAFETY: the bytes live until the deleter, called once, frees them.
        unsafe {
            let args = self.plugin.call::<sys::Executable_Serialize>(|args| args.executable = self.raw())?;
            let bytes = list(args.serialized_bytes.cast::<u8>(), args.serialized_bytes_size).to_vec();
            if let Some(delete) = args.serialized_executable_deleter {
                delete(args.serialized_executable);
            }
            Ok(bytes)
        }
    }

    /// The program after XLA's passes, in the plugin's binary format. (As text: compile with the override
    /// `xla_dump_to`.)
    ///
    /// # Errors
    /// The plugin's.
    pub fn optimized(&self) -> Result<OptimizedProgram, PjrtError> {
        let mut program = new_program(ptr::null_mut(), 0, "");
        self.read_optimized(&mut program)?;
        let mut code = vec![0u8; program.code_size];
        program.code = code.as_mut_ptr().cast();
        self.read_optimized(&mut program)?;
        // SAFETY: the plugin set the format to a text of its own.
        Ok(OptimizedProgram { format: unsafe { text(program.format, program.format_size) }, code })
    }

    /// Without memory for the code, sets its size; with it, fills it in.
    fn read_optimized(&self, program: &mut sys::Program) -> Result<(), PjrtError> {
        // SAFETY: the executable is live; the code's memory is null or has the size that the plugin asked for.
        unsafe {
            self.plugin.call::<sys::Executable_OptimizedProgram>(|args| {
                args.executable = self.raw();
                args.program = program;
            })?;
        }
        Ok(())
    }

    /// How many buffers an execution returns on one device.
    pub(crate) fn output_count(&self) -> Result<usize, PjrtError> {
        // SAFETY: the executable is live.
        let args = unsafe { self.plugin.call::<sys::Executable_NumOutputs>(|args| args.executable = self.raw())? };
        Ok(args.num_outputs)
    }

    fn raw(&self) -> *mut sys::Executable {
        self.raw.as_ptr()
    }
}

/// A program to pass to the plugin; the pointers are the caller's to keep alive.
pub(crate) fn new_program(code: *mut u8, code_size: usize, format: &'static str) -> sys::Program {
    sys::Program {
        struct_size: size_of::<sys::Program>(),
        extension_start: ptr::null_mut(),
        code: code.cast(),
        code_size,
        format: format.as_ptr().cast(),
        format_size: format.len(),
    }
}

impl fmt::Debug for CompiledProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CompiledProgram({})", self.name)
    }
}

impl Drop for CompiledProgram {
    fn drop(&mut self) {
        // SAFETY: the executable is ours and used no more. An error here has nobody to hear it.
        let _ = unsafe { self.plugin.call::<sys::Executable_Destroy>(|args| args.executable = self.raw()) };
    }
}
