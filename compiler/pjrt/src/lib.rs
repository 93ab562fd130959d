//! A safe wrapper of the PJRT C API: the door to XLA on CPU and CUDA, and the only unsafe XLA code of the project.
//!
//! A plugin (a shared library) is found and opened at run time; one binary speaks to plugins of C API 0.81 and later.
//! ```no_run
//! use twinflow_array::HostArray;
//! use twinflow_pjrt::{Arg, Buffer, Client, ClientOptions, CompileOptions, Platform, Plugin};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let plugin = Plugin::discover(Platform::Cpu, None)?;
//! let client = Client::new(&plugin, &ClientOptions::default())?;
//! let double = "func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> {
//!   %y = stablehlo.add %x, %x : tensor<2xf32>
//!   return %y : tensor<2xf32>
//! }";
//! let executable = client.compile(double, &CompileOptions::default())?;
//! let x = Buffer::from_host(&client.devices()[0], &HostArray::from_slice([2], &[1.0f32, 2.0])?)?;
//! let outputs = executable.execute(vec![vec![Arg::Keep(&x)]])?;
//! println!("{:?}", outputs[0][0].to_host()?);
//! # Ok(())
//! # }
//! ```

mod buffer;
mod client;
mod client_options;
mod compile_options;
mod compile_proto;
mod compiled_program;
mod cuda_toolkit;
mod device;
mod discover;
mod element_type;
mod error;
mod event;
mod executable;
mod key_value;
mod option_value;
mod plugin;
mod sys;
mod target;
mod topology;
mod transfer;

pub use buffer::Buffer;
pub use client::Client;
pub use client_options::ClientOptions;
pub use compile_options::CompileOptions;
pub use compiled_program::{CompiledProgram, MemoryPlan, OptimizedProgram};
pub use cuda_toolkit::CudaToolkit;
pub use device::{Device, DeviceMemory};
pub use discover::{PLUGIN_VARIABLE, Platform, UnknownPlatform};
pub use error::{ErrorCode, PjrtError};
pub use event::Event;
pub use executable::{Arg, Executable};
pub use key_value::{KeyValueError, KeyValueStore};
pub use option_value::OptionValue;
pub use plugin::Plugin;
pub use target::GpuTarget;
pub use topology::Topology;
pub use transfer::PendingHostArray;

/// Buffers, programs and all else may be shared between threads.
const _: () = {
    const fn shared<T: Send + Sync + 'static>() {}
    shared::<Client>();
    shared::<Device>();
    shared::<Buffer>();
    shared::<PendingHostArray>();
    shared::<Executable>();
    shared::<CompiledProgram>();
    shared::<Topology>();
    shared::<Event>();
};
