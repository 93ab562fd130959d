//! Running programs on XLA, compiled for quick compilation: on the CPU, or on a GPU if the environment asks for it.

use std::sync::OnceLock;

use twinflow_array::HostArray;
use twinflow_compiler::{
    Program,
    interpreter::interpret,
    passes,
    stablehlo::{self, Products},
};
use twinflow_pjrt::{Arg, Buffer, Client, ClientOptions, CompileOptions, Platform, Plugin};

use crate::Tolerance;

/// The environment variable that names the platform to test on: `cpu`, or `cuda` (one GPU is enough for the golden tests).
pub const PLATFORM_VARIABLE: &str = "TWINFLOW_TEST_PLATFORM";

fn platform() -> Platform {
    let named = std::env::var(PLATFORM_VARIABLE).unwrap_or_else(|_| Platform::Cpu.to_string());
    named.parse().unwrap_or_else(|error| panic!("{PLATFORM_VARIABLE}: {error}"))
}

/// A client with two CPU devices, or with all GPUs, shared by all tests of a process.
///
/// # Panics
/// Without the plugin: the message says where it was looked for.
pub fn client() -> &'static Client {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    CLIENT.get_or_init(|| {
        let plugin = Plugin::discover(platform(), None).unwrap_or_else(|error| panic!("{error}"));
        let options = ClientOptions { cpu_device_count: Some(2), ..ClientOptions::default() };
        Client::new(&plugin, &options).unwrap_or_else(|error| panic!("{error}"))
    })
}

/// Options for quick compilation. On a GPU products are left to cuBLAS, which takes f32 as it is where
/// NVIDIA_TF32_OVERRIDE=0 says so; Triton's kernels round to TF32.
pub fn quick() -> CompileOptions {
    let options = CompileOptions::default().with_override("xla_backend_optimization_level", 0i64);
    match platform() {
        Platform::Cpu => options,
        Platform::Cuda => options.with_override("xla_gpu_enable_triton_gemm", false),
    }
}

/// The StableHLO of the program after all passes.
pub fn stablehlo(program: &Program) -> String {
    stablehlo::lower(&passes::simplify(program.clone()), "main", Products::default(), false)
}

/// The program's outputs by XLA.
///
/// # Panics
/// If it does not compile or run; the message holds the StableHLO.
#[track_caller]
pub fn run(program: &Program, inputs: &[HostArray]) -> Vec<HostArray> {
    run_replicas(program, &[inputs.to_vec()]).remove(0)
}

/// The outputs `[replica][output]` of one copy of the program per element of `inputs`, run together.
///
/// # Panics
/// If it does not compile or run; the message holds the StableHLO.
#[track_caller]
pub fn run_replicas(program: &Program, inputs: &[Vec<HostArray>]) -> Vec<Vec<HostArray>> {
    run_text(&stablehlo(program), &CompileOptions { replicas: inputs.len(), ..quick() }, inputs)
}

/// The outputs `[replica][output]` of a StableHLO module.
///
/// # Panics
/// If it does not compile or run; the message holds the StableHLO.
#[track_caller]
pub fn run_text(text: &str, options: &CompileOptions, inputs: &[Vec<HostArray>]) -> Vec<Vec<HostArray>> {
    let result = client().compile(text, options).and_then(|executable| {
        let upload = |(replica, arrays): (usize, &Vec<HostArray>)| -> Result<Vec<Buffer>, _> {
            arrays.iter().map(|array| Buffer::from_host(&client().devices()[replica], array)).collect()
        };
        let buffers = inputs.iter().enumerate().map(upload).collect::<Result<Vec<_>, _>>()?;
        let arguments = buffers.iter().map(|buffers| buffers.iter().map(Arg::Keep).collect()).collect();
        let outputs = executable.execute(arguments)?;
        outputs.iter().map(|outputs| outputs.iter().map(Buffer::to_host).collect()).collect()
    });
    result.unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The outputs in f64 by XLA, once they agree with the reference interpreter's.
///
/// # Panics
/// If they do not.
#[track_caller]
pub fn run_checked(program: &Program, inputs: &[HostArray], tolerance: Tolerance) -> Vec<Vec<f64>> {
    let outputs: Vec<Vec<f64>> = run(program, inputs).iter().map(HostArray::to_f64).collect();
    for (output, expected) in outputs.iter().zip(reference(program, inputs)) {
        tolerance.assert(output, &expected);
    }
    outputs
}

/// The outputs by the reference interpreter, in f64.
pub fn reference(program: &Program, inputs: &[HostArray]) -> Vec<Vec<f64>> {
    let inputs: Vec<_> = inputs.iter().map(HostArray::to_f64_array).collect();
    interpret(program, &inputs).into_iter().map(|output| output.into_iter().collect()).collect()
}
