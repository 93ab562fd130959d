//! What programs need on a device, listed by `graph --target`.

mod common;

use serde_json::Value;

use common::Place;

#[test]
fn this_machines_device_is_a_target() {
    let listed = Place::new().run("graph --config tiny.toml --target here --program flow-step --json").ok();
    let listed: Value = serde_json::from_str(&listed.out).unwrap();
    let program = &listed["programs"][0];
    let number =
        |path: &str| program.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path}: {listed}"));
    assert_eq!((program["program"].as_str(), program["fits"].as_bool()), (Some("flow-step"), Some(true)));
    assert_eq!(program["trial"].as_str(), Some("ran"));
    // Everything is donated but the batch: 32 points, labels and rows, and the label that means none.
    assert_eq!(number("/memory/argument") - number("/memory/alias"), 32 * (2 * 4 + 4 + 4) + 4);
    assert!(number("/memory/peak") >= number("/memory/argument") + number("/memory/temporary"));
    let scopes = program["scopes"].as_object().unwrap();
    let sum = |name: &str| scopes.values().map(|cost| cost[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("flops"), sum("bytes")), (number("/cost/flops"), number("/cost/bytes")));
    assert!(scopes.contains_key("blocks") && scopes.contains_key("update"), "{listed}");
}

#[test]
fn what_does_not_fit_is_a_warning() {
    let place = Place::new();
    let arguments = "graph --config tiny.toml --target b200 --program begin-twinflow";
    let fits = place.run(arguments).ok();
    assert!(fits.out.contains("NVIDIA B200: 178.36 GiB of memory, 160.53 GiB of it for a run"), "{}", fits.out);
    assert!(fits.out.contains("peak") && !fits.out.contains("WARNING"), "{}", fits.out);
    let small = place.run(&format!("{arguments} --set device.memory_fraction=1e-9")).ok();
    assert!(
        small.out.contains("WARNING     does not fit: ") && small.out.contains("the 191 B for a run"),
        "{}",
        small.out
    );
}

#[test]
fn unknown_targets_and_files_that_describe_none_are_refused() {
    let place = Place::new();
    let refused = |target: &str| place.run(&format!("graph --config tiny.toml --target {target}"));
    refused("h300").refused(&["unknown target 'h300'", "a100, h100, h200, b200"]);
    refused("tiny.toml").refused(&["tiny.toml does not describe a GPU", "it has no device_memory_size"]);
}
