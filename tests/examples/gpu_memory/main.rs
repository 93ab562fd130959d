//! What the programs of all configs take of a GPU's memory, compiled for it without one: `make gpu-compile`.
//!
//! The figures are those of `twinflow-xla graph --target`, which is run for each row; its path is the
//! first argument. Others name tables (`configs`, `remat`, `gpus`, `text-to-image`); without one all are made.

mod text_to_image;

use std::{env, fs, path::PathBuf, process::Command};

use serde_json::Value;

/// The config that memory is studied on, with and without remat, in so many micro-batches.
const STUDIED: &str = "configs/dit-xl-2.toml";
const MICRO_BATCHES: [usize; 3] = [1, 2, 4];
/// The GPUs of the last table.
const GPUS: [&str; 4] = ["a100", "h100", "h200", "b200"];

const MIB: f64 = (1u64 << 20) as f64;
const GIB: f64 = (1u64 << 30) as f64;

/// The programs of a config on a GPU, as the program tells them, and what the GPU has for a run.
fn needs(config: &str, gpu: &str, more: &[String]) -> (Vec<Value>, f64) {
    let program = env::args().nth(1).expect("the path of twinflow-xla is an argument");
    let ran = Command::new(program).args(["graph", "--config", config, "--target", gpu, "--json"]).args(more).output();
    let ran = ran.unwrap_or_else(|error| panic!("twinflow-xla does not start: {error}"));
    assert!(ran.status.success(), "{config} on {gpu} {more:?}:\n{}", String::from_utf8_lossy(&ran.stderr));
    let mut told: Value = serde_json::from_slice(&ran.stdout).expect("graph --json gives JSON");
    let Value::Array(programs) = told["programs"].take() else { panic!("{told}: no programs") };
    (programs, number(&told["memory_for_a_run"]))
}

/// The step of the studied config.
fn step(gpu: &str, settings: &[&str]) -> (Value, f64) {
    let settings = settings.iter().flat_map(|setting| ["--set".to_owned(), (*setting).to_owned()]);
    let more: Vec<String> = ["--program", "twinflow-step"].map(str::to_owned).into_iter().chain(settings).collect();
    let (mut programs, memory) = needs(STUDIED, gpu, &more);
    (programs.remove(0), memory)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// `arguments | temporary | peak` in this unit.
fn memory(program: &Value, unit: f64, digits: usize) -> String {
    let shown = |name: &str| format!("{:.digits$}", number(&program["memory"][name]) / unit);
    ["argument", "temporary", "peak"].map(shown).join(" | ")
}

/// Operations in TFLOP.
fn tera(program: &Value) -> f64 {
    number(&program["cost"]["flops"]) / 1e12
}

fn every_program_of_every_config() {
    println!("| config | program | arguments, MiB | temporary, MiB | peak, MiB | TFLOP | compile, s |");
    println!("|---|---|---|---|---|---|---|");
    let folder = fs::read_dir("configs").expect("the example runs in the project's folder");
    let mut configs: Vec<PathBuf> = folder.map(|entry| entry.expect("a folder can be listed").path()).collect();
    configs.sort();
    for config in configs {
        let name = config.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        for program in needs(&config.to_string_lossy(), "h200", &[]).0 {
            let (title, seconds) = (program["program"].as_str().unwrap_or("?"), number(&program["compile_seconds"]));
            let memory = memory(&program, MIB, 1);
            println!("| {name} | {title} | {memory} | {:.3} | {seconds:.1} |", tera(&program));
        }
    }
}

fn remat_and_micro_batches() {
    let quick = ["--program", "begin-twinflow"].map(str::to_owned);
    let most = ["h100", "h200"].map(|gpu| needs(STUDIED, gpu, &quick).1);
    println!(
        "\n| remat | micro-batches | arguments, GiB | temporary, GiB | peak, GiB | TFLOP | fits H100 | fits H200 |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for remat in ["none", "blocks"] {
        for micro_batches in MICRO_BATCHES {
            let settings = [format!("model.remat={remat}"), format!("train.micro_batches={micro_batches}")];
            let (program, _) = step("h200", &[&settings[0], &settings[1]]);
            let peak = number(&program["memory"]["peak"]);
            let [h100, h200] = most.map(|most| if peak <= most { "yes" } else { "no" });
            let memory = memory(&program, GIB, 2);
            println!("| {remat} | {micro_batches} | {memory} | {:.2} | {h100} | {h200} |", tera(&program));
        }
    }
}

fn other_gpus() {
    println!("\n| GPU | for a run, GiB | arguments, GiB | temporary, GiB | peak, GiB | time at least, ms |");
    println!("|---|---|---|---|---|---|");
    for gpu in GPUS {
        let (program, most) = step(gpu, &[]);
        let least = 1e3 * number(&program["least_seconds"]);
        println!("| {gpu} | {:.1} | {} | {least:.1} |", most / GIB, memory(&program, GIB, 2));
    }
}

fn main() {
    let asked: Vec<String> = env::args().skip(2).collect();
    let tables: [(&str, fn()); 4] = [
        ("configs", every_program_of_every_config),
        ("remat", remat_and_micro_batches),
        ("gpus", other_gpus),
        ("text-to-image", text_to_image::table),
    ];
    tables
        .into_iter()
        .filter(|(name, _)| asked.is_empty() || asked.iter().any(|asked| asked == name))
        .for_each(|(_, make)| make());
}
