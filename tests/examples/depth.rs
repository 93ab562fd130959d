//! Compile time and planned memory of a DiT's training step against its depth: `make depth`.
//!
//! Layers are scanned, so compile time should not grow with depth; with remat, memory should grow by one saved input per
//! block instead of every value inside it. Times alternate between depths and are medians, as machines are noisy.

use std::time::Instant;

use twinflow_array::TensorType;
use twinflow_compiler::{
    jit,
    pjrt::{Client, ClientOptions, CompileOptions, MemoryPlan, Platform, Plugin},
};
use twinflow_models::denoisers::{DitConfig, ModelConfig, Remat};
use twinflow_tests::trainers::dit_step;
use twinflow_training::{Gradients, Trainer};

const DEPTHS: [usize; 2] = [6, 24];
const REPEATS: usize = 5;
/// Number of the phase.
const TWINFLOW: usize = 1;

/// Seconds to compile the gradients of one TwinFlow step, and the memory that they need.
fn compile(client: &Client, depth: usize, remat: Remat) -> (f64, MemoryPlan) {
    let dit = DitConfig { width: 128, heads: 4, patch: 4, depth, remat, ..DitConfig::default() };
    let trainer = Trainer::new(dit_step(ModelConfig::Dit(dit), [32, 32, 3], 16)).expect("a valid configuration");
    let traced = jit::<_, _, Gradients<TensorType>>(
        "gradients",
        None::<TensorType>,
        (trainer.state_spec(), trainer.batch_spec()),
        |_, _, (state, batch)| trainer.gradients(TWINFLOW, &state, &batch),
    )
    .expect("the step is traced");
    let start = Instant::now();
    let compiled = traced.compile(client, &CompileOptions::default()).expect("the step compiles");
    (start.elapsed().as_secs_f64(), compiled.executable().memory().expect("the plugin plans memory"))
}

fn main() {
    let plugin = Plugin::discover(Platform::Cpu, None).unwrap_or_else(|error| panic!("{error}"));
    let options = ClientOptions { cpu_device_count: Some(1), ..ClientOptions::default() };
    let client = Client::new(&plugin, &options).unwrap_or_else(|error| panic!("{error}"));
    println!("| depth | remat | compile, s (median of {REPEATS}) | temporary memory, MiB |");
    println!("|---|---|---|---|");
    let mut medians = Vec::new();
    for remat in [Remat::None, Remat::Blocks] {
        let mut seconds = DEPTHS.map(|_| Vec::new());
        let mut memory = [0.0; 2];
        for _ in 0..REPEATS {
            for (i, depth) in DEPTHS.into_iter().enumerate() {
                let (time, plan) = compile(&client, depth, remat);
                seconds[i].push(time);
                memory[i] = plan.temp as f64 / (1 << 20) as f64;
            }
        }
        for (i, depth) in DEPTHS.into_iter().enumerate() {
            seconds[i].sort_by(f64::total_cmp);
            let median = seconds[i][REPEATS / 2];
            println!("| {depth} | {remat:?} | {median:.2} | {:.1} |", memory[i]);
            medians.push(median);
        }
    }
    println!(
        "\nCompile time, depth 24 over depth 6: {:.2}, with remat {:.2}",
        medians[1] / medians[0],
        medians[3] / medians[2]
    );
}
