//! Reports of made-up runs.

use std::fs;

use super::*;
use crate::{metrics::StepMetrics, run_folder::Environment};

fn run_with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("samples")).unwrap();
    files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).unwrap());
    folder
}

fn metrics(steps: u64) -> String {
    let line = |step: u64| StepMetrics {
        step,
        phase: if step > steps / 2 { "twinflow" } else { "flow" }.into(),
        loss: 1.0 / step as f64,
        terms: [("loss_base", 0.5 / step as f64), ("self_play_gap", 2.0)]
            .map(|(name, value)| (name.into(), value))
            .into(),
        samples_per_second: 100.0,
        step_seconds: 0.5,
        ..StepMetrics::default()
    };
    (1..=steps).map(|step| serde_json::to_string(&line(step)).unwrap() + "\n").collect()
}

/// Panics unless every element that is opened is closed, in order.
fn assert_balanced(html: &str) {
    let mut open = Vec::new();
    for tag in html.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap();
        let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap_or_default();
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed), "in {html}");
        } else if !tag.ends_with('/') && !["!doctype", "meta", "img"].contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn a_report_shows_all_that_the_folder_holds_and_needs_nothing_else() {
    let evaluation = r#"{"step": 40, "results": [{"nfe": 1, "sample": {"style": "few"}, "class_accuracy": 0.80123}],
        "train_images": {"class_accuracy": 0.9}}"#;
    let environment = Environment { host: "node<7>".into(), command: "train --set a=b".into(), ..Default::default() };
    let run = run_with(&[
        ("config.toml", "[run]\nname = \"a < b & c\"\n[data]\nclasses = 1000\n"),
        ("metrics.jsonl", &metrics(40)),
        ("environment.jsonl", &serde_json::to_string(&environment).unwrap()),
        ("eval.json", evaluation),
        ("samples/step-00000020.png", "foobar"),
        ("samples/one-step.png", "foo"),
    ]);
    let path = write(run.path()).unwrap();
    let html = fs::read_to_string(&path).unwrap();
    assert_balanced(&html);
    for part in ["a &lt; b &amp; c", "node&lt;7&gt;", "train --set a=b", "0.8012", "few", "step 20"] {
        assert!(html.contains(part), "'{part}' is not in {html}");
    }
    assert!(html.contains("src=\"data:image/png;base64,Zm9vYmFy\"") && html.contains("base64,Zm9v\""));
    for part in ["Loss and its terms", "Self-play gap", "twinflow phase, at step 21", "<b>40</b>", "64 of 1000 classes"]
    {
        assert!(html.contains(part), "'{part}' is not in {html}");
    }
    assert!(!html.contains("http") && !html.contains("<script") && !html.contains("@import"));
    assert_eq!(write(run.path()).unwrap(), path, "it is written again");
    assert!(!run.path().join("report.html.tmp").exists());
}

#[test]
fn a_run_that_has_only_begun_has_a_report_and_other_folders_have_none() {
    let run = run_with(&[("config.toml", ""), ("eval.json", "not JSON")]);
    let html = fs::read_to_string(write(run.path()).unwrap()).unwrap();
    assert_balanced(&html);
    assert!(html.contains("No step is done yet") && html.contains("eval.json cannot be read"), "{html}");
    let error = write(run.path().join("samples").as_path()).unwrap_err().to_string();
    assert!(error.contains("is no run folder"), "{error}");
}
