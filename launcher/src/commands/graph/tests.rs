//! The programs of small configs, compiled for a GPU without one. `make cuda-compiler` installs what that needs.

use std::path::Path;

use super::*;

/// A DiT in bf16 that keeps of each block its input alone, in two micro-batches; of the method what compiles quickly.
const BF16_REMAT: &str = r#"
[data]
kind = "synthetic"
height = 16
width = 16
[model]
kind = "dit"
width = 64
depth = 2
heads = 2
remat = "blocks"
[twinflow]
order = 1
guidance = 0.0
rectify_weight = 0.0
[train]
batch_size = 16
micro_batches = 2
precision = "bf16"
"#;

/// Fashion-MNIST's shapes, without the file.
const FASHION_MNIST_SHAPES: [&str; 4] = ["data.kind=synthetic", "data.height=28", "data.width=28", "data.channels=1"];

fn from_file(name: &str, settings: &[&str]) -> Config {
    let path = format!("{}/../configs/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
    Config::from_file(Path::new(&path), &settings).unwrap()
}

/// Compiles programs for an H200 (all without names), and compares XLA's plans with the types in them.
fn check_plans(config: Config, names: &[&str]) {
    let target = Target::open("h200", &config.device).unwrap_or_else(|error| panic!("{error}"));
    assert!(!target.products().for_cpu, "a GPU is planned with the programs that it runs");
    let programs = Programs::of(config, target.products(), 1).unwrap();
    for (name, kind) in programs.named(None).unwrap() {
        if !names.is_empty() && !names.contains(&name.as_str()) {
            continue;
        }
        let Listing { program, stablehlo, replicas } = programs.list(kind).unwrap();
        // Kernels of Triton take half of the time.
        let options = target.compile_options(replicas).with_override("xla_gpu_enable_triton_gemm", false);
        let (memory, _) = target.compile(&stablehlo, &options).unwrap_or_else(|error| panic!("{name}: {error}"));
        let inputs: Vec<u64> = program.input_types().iter().map(|ty| ty.bytes() as u64).collect();
        assert_eq!(memory.argument, inputs.iter().sum::<u64>(), "{name}");
        assert_eq!(memory.alias, inputs[..program.donated].iter().sum::<u64>(), "{name}");
        let outputs: u64 = program.output_types().iter().map(|ty| ty.bytes() as u64).sum();
        // Besides, a table of the outputs' places.
        let table = 8 * program.outputs.len() as u64;
        assert!((outputs..=outputs + table).contains(&memory.output), "{name}: {memory:?}, {outputs} B of outputs");
        assert!(memory.temp > 0, "{name}: {memory:?}");
    }
}

#[test]
fn programs_are_those_of_the_phases_and_others_are_refused() {
    let programs = Programs::of(from_file("toy", &[]), Products::default(), 1).unwrap();
    let names: Vec<String> = programs.named(None).unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["flow-step", "begin-twinflow", "twinflow-step", "gradients", "update", "sample"]);
    let message = programs.named(Some("flow_step")).unwrap_err().to_string();
    assert_eq!(message, format!("this config has no program 'flow_step'; its programs are {}", names.join(", ")));
}

#[test]
fn the_toys_programs_compile_for_a_gpu() {
    check_plans(from_file("toy", &[]), &[]);
}

#[test]
fn the_quickstarts_programs_compile_for_a_gpu() {
    check_plans(from_file("quickstart", &FASHION_MNIST_SHAPES), &[]);
}

#[test]
fn programs_in_bf16_with_remat_compile_for_a_gpu() {
    let config = Config::from_text("bf16.toml", BF16_REMAT, &[]).unwrap();
    check_plans(config, &["flow-step", "twinflow-step", "sample"]);
}
