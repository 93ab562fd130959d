//! Trial runs: a plugin may accept a program and fail only when it runs.

use twinflow_array::HostArray;
use twinflow_compiler::{
    Program,
    pjrt::{Arg, Buffer, Device, Executable, PjrtError},
};

/// Runs a compiled program once, on zeros of its inputs' types, on as many of the devices as it was compiled for.
///
/// # Errors
/// The plugin's, as when memory runs out or an operation cannot be done.
pub fn run_once(executable: &Executable, program: &Program, devices: &[Device]) -> Result<(), PjrtError> {
    let inputs: Vec<HostArray> = program.input_types().into_iter().map(HostArray::zeros).collect();
    let zeros = |device| inputs.iter().map(|array| Buffer::from_host(device, array)).collect::<Result<Vec<_>, _>>();
    let used = &devices[..executable.device_count()];
    let buffers = used.iter().map(zeros).collect::<Result<Vec<_>, _>>()?;
    drop(inputs);
    // Those that the program does not reuse are freed after it.
    let arguments = buffers.into_iter().map(|buffers| buffers.into_iter().map(Arg::Donate).collect());
    let results = executable.execute(arguments.collect())?;
    results.iter().flatten().try_for_each(Buffer::wait)
}
