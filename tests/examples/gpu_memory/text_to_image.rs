//! Networks for text to image: what their TwinFlow step takes of an H200, and the largest batch that one holds.

use serde_json::Value;

use crate::{GIB, memory, needs, number, tera};

/// A config at a size of pictures, for which latents have this many pixels a side.
struct Studied {
    name: &'static str,
    config: &'static str,
    pixels: usize,
    latent: usize,
    /// Batches are multiples of this.
    unit: usize,
}

const STUDIED: [Studied; 5] = [
    Studied { name: "SANA-0.6B", config: "configs/sana-0.6b.toml", pixels: 512, latent: 16, unit: 16 },
    Studied { name: "SANA-0.6B", config: "configs/sana-0.6b.toml", pixels: 1024, latent: 32, unit: 16 },
    Studied { name: "SANA-1.6B", config: "configs/sana-1.6b.toml", pixels: 512, latent: 16, unit: 16 },
    Studied { name: "SANA-1.6B", config: "configs/sana-1.6b.toml", pixels: 1024, latent: 32, unit: 16 },
    Studied { name: "Qwen-Image-2.1", config: "configs/qwen-image-2.1.toml", pixels: 1024, latent: 64, unit: 4 },
];

/// How often the line towards the largest batch is corrected.
const TRIES: usize = 6;

/// The step of the studied config with this remat and batch, and the memory for a run.
fn step(studied: &Studied, remat: &str, batch: usize) -> (Value, f64) {
    let Studied { latent, .. } = studied;
    let settings = [
        format!("data.height={latent}"),
        format!("data.width={latent}"),
        format!("model.remat={remat}"),
        format!("train.batch_size={batch}"),
    ];
    let settings = settings.into_iter().flat_map(|setting| ["--set".to_owned(), setting]);
    let more: Vec<String> = ["--program", "twinflow-step"].map(str::to_owned).into_iter().chain(settings).collect();
    let (mut programs, memory) = needs(studied.config, "h200", &more);
    (programs.remove(0), memory)
}

/// The step at the largest batch that fits, or at the smallest if none does. Memory grows with the batch along a line.
fn largest(studied: &Studied, remat: &str) -> (usize, Value, f64) {
    let peak = |program: &Value| number(&program["memory"]["peak"]);
    let (mut program, most) = step(studied, remat, studied.unit);
    let slope = peak(&step(studied, remat, 2 * studied.unit).0) - peak(&program);
    let mut units = 1;
    for _ in 0..TRIES {
        let more = ((most - peak(&program)) / slope).floor() as i64;
        if more == 0 || units + more < 1 {
            break;
        }
        units += more;
        program = step(studied, remat, units as usize * studied.unit).0;
    }
    (units as usize * studied.unit, program, most)
}

/// Shares of a step's operations by module, passes of all kinds together: `mix_ffn 45 %, ..`.
fn modules(program: &Value) -> String {
    let Value::Object(scopes) = &program["scopes"] else { panic!("{program}: no scopes") };
    let mut shares: Vec<(String, f64)> = Vec::new();
    for (scope, cost) in scopes {
        let module = scope.rsplit('/').next().unwrap_or_default().to_owned();
        let flops = number(&cost["flops"]);
        match shares.iter_mut().find(|(name, _)| *name == module) {
            Some((_, sum)) => *sum += flops,
            None => shares.push((module, flops)),
        }
    }
    let total = number(&program["cost"]["flops"]);
    shares.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let shown = shares.iter().filter(|(_, flops)| flops / total >= 0.01);
    shown.map(|(name, flops)| format!("{name} {:.0} %", 100.0 * flops / total)).collect::<Vec<_>>().join(", ")
}

pub fn table() {
    println!("\n| network | pixels | remat | batch | arguments, GiB | temporary, GiB | peak, GiB | fits |");
    println!("|---|---|---|---|---|---|---|---|");
    let mut costs = Vec::new();
    for studied in STUDIED {
        for remat in ["none", "blocks"] {
            let (batch, program, most) = largest(&studied, remat);
            let Studied { name, pixels, .. } = studied;
            let fits = if number(&program["memory"]["peak"]) <= most { "yes" } else { "no" };
            println!("| {name} | {pixels} | {remat} | {batch} | {} | {fits} |", memory(&program, GIB, 2));
            let (sample, least) = (tera(&program) / batch as f64, 1e3 * number(&program["least_seconds"]));
            let modules = modules(&program);
            costs.push(format!(
                "| {name} | {pixels} | {remat} | {sample:.2} | {:.1} | {modules} |",
                least / batch as f64
            ));
        }
    }
    println!("\n| network | pixels | remat | TFLOP a sample | at least, ms a sample | operations by module |");
    println!("|---|---|---|---|---|---|");
    costs.iter().for_each(|line| println!("{line}"));
}
