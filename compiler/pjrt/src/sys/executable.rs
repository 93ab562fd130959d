//! Compiled programs and their execution.

use std::ffi::{c_char, c_int, c_void};

use super::{
    Buffer, BufferType, Client, Device, Event, Executable, ExecuteContext, Extension, LoadedExecutable, NamedValue,
    Program, SerializedExecutable, args,
};

/// `PJRT_ExecuteOptions`.
#[repr(C)]
pub struct ExecuteOptions {
    pub struct_size: usize,
    pub extension_start: *mut Extension,
    pub send_callbacks: *mut *mut c_void,
    pub recv_callbacks: *mut *mut c_void,
    pub num_send_ops: usize,
    pub num_recv_ops: usize,
    pub launch_id: c_int,
    pub non_donatable_input_indices: *const i64,
    pub num_non_donatable_input_indices: usize,
    pub context: *mut ExecuteContext,
    pub call_location: *const c_char,
    pub num_tasks: usize,
    pub task_ids: *mut c_int,
    pub incarnation_ids: *mut i64,
}

/// Frees the bytes of `PJRT_Executable_Serialize`.
pub type SerializedDeleter = unsafe extern "C" fn(*mut SerializedExecutable);

args! {
    Executable_Destroy { executable: *mut Executable }
    Executable_Name { executable: *mut Executable, executable_name: *const c_char, executable_name_size: usize }
    Executable_NumReplicas { executable: *mut Executable, num_replicas: usize }
    Executable_NumPartitions { executable: *mut Executable, num_partitions: usize }
    Executable_NumOutputs { executable: *mut Executable, num_outputs: usize }
    Executable_OutputElementTypes {
        executable: *mut Executable,
        output_types: *mut BufferType,
        num_output_types: usize,
    }
    Executable_OutputDimensions {
        executable: *mut Executable,
        num_outputs: usize,
        dims: *const i64,
        dim_sizes: *const usize,
    }
    Executable_GetCostAnalysis {
        executable: *mut Executable,
        num_properties: usize,
        properties: *const NamedValue,
    }
    Executable_GetCompiledMemoryStats {
        executable: *mut Executable,
        generated_code_size_in_bytes: i64,
        argument_size_in_bytes: i64,
        output_size_in_bytes: i64,
        alias_size_in_bytes: i64,
        temp_size_in_bytes: i64,
        host_generated_code_size_in_bytes: i64,
        host_argument_size_in_bytes: i64,
        host_output_size_in_bytes: i64,
        host_alias_size_in_bytes: i64,
        host_temp_size_in_bytes: i64,
        peak_memory_in_bytes: i64,
        total_size_in_bytes: i64,
    }
    Executable_Fingerprint {
        executable: *mut Executable,
        executable_fingerprint: *const c_char,
        executable_fingerprint_size: usize,
    }
    Executable_OptimizedProgram { executable: *mut Executable, program: *mut Program }
    Executable_Serialize {
        executable: *const Executable,
        serialized_bytes: *const c_char,
        serialized_bytes_size: usize,
        serialized_executable: *mut SerializedExecutable,
        serialized_executable_deleter: Option<SerializedDeleter>,
    }
    Executable_DeserializeAndLoad {
        client: *mut Client,
        serialized_executable: *const c_char,
        serialized_executable_size: usize,
        loaded_executable: *mut LoadedExecutable,
        overridden_serialized_compile_options: *const c_char,
        overridden_serialized_compile_options_size: usize,
    }
    LoadedExecutable_Destroy { executable: *mut LoadedExecutable }
    LoadedExecutable_GetExecutable { loaded_executable: *mut LoadedExecutable, executable: *mut Executable }
    LoadedExecutable_AddressableDevices {
        executable: *mut LoadedExecutable,
        addressable_devices: *const *mut Device,
        num_addressable_devices: usize,
    }
    LoadedExecutable_Execute {
        executable: *mut LoadedExecutable,
        options: *mut ExecuteOptions,
        argument_lists: *const *const *mut Buffer,
        num_devices: usize,
        num_args: usize,
        output_lists: *const *mut *mut Buffer,
        device_complete_events: *mut *mut Event,
        execute_device: *mut Device,
    }
}
