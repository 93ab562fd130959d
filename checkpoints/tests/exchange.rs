//! Weights that go out come in again, under the names that others use.

mod fixture;

use std::path::Path;

use fixture::{save_in, state, weight_types};
use half::bf16;
use safetensors::{Dtype, SafeTensors};
use tempfile::{TempDir, tempdir};
use twinflow_array::{DType, leaves};
use twinflow_checkpoints::{
    Checkpoint, CheckpointError, ExportOptions, ExportSummary, Format, export, import_safetensors,
};

fn exported(options: &ExportOptions, name: &str) -> (TempDir, Checkpoint, ExportSummary) {
    let folder = tempdir().unwrap();
    let checkpoint = Checkpoint::open(save_in(folder.path(), 3, &state(3))).unwrap();
    let summary = export(&checkpoint, &folder.path().join(name), options).unwrap();
    (folder, checkpoint, summary)
}

#[test]
fn safetensors_hold_unstacked_layers_and_come_back() {
    let (folder, checkpoint, summary) = exported(&ExportOptions::default(), "out.safetensors");
    assert_eq!(summary, ExportSummary { arrays: 7, bytes: 136 });
    let path = folder.path().join("out.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut names = file.names();
    names.sort_unstable();
    let blocks = ["blocks.0.bias", "blocks.0.weight", "blocks.1.bias", "blocks.1.weight", "blocks.2.bias"];
    assert_eq!(names, [&blocks[..], &["blocks.2.weight", "embed"]].concat());
    let stacked = checkpoint.read(&"ema/blocks/*/weight".into()).unwrap();
    let layer = file.tensor("blocks.1.weight").unwrap();
    assert_eq!((layer.dtype(), layer.shape(), layer.data()), (Dtype::F32, &[4, 2][..], &stacked.bytes()[32..64]));
    let (_, notes) = SafeTensors::read_metadata(&bytes).unwrap();
    let notes = notes.metadata().as_ref().unwrap();
    assert_eq!((notes["step"].as_str(), notes["config"].as_str()), ("3", "[model]\nwidth = 4\n"));

    let imported = import_safetensors(&path, &weight_types(3, 4)).unwrap();
    let original = checkpoint.restore_into(&weight_types(3, 4), &"ema".into()).unwrap();
    assert_eq!(leaves(&imported), leaves(&original));
}

#[test]
fn a_cast_rounds_to_the_nearest() {
    let options = ExportOptions { group: "params".into(), cast: Some(DType::BF16), ..Default::default() };
    let (folder, checkpoint, _) = exported(&options, "out.safetensors");
    let bytes = std::fs::read(folder.path().join("out.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let embed = checkpoint.read(&"params/embed".into()).unwrap();
    let rounded = embed.as_slice::<f32>().unwrap().iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes());
    assert_eq!(file.tensor("embed").unwrap().data(), rounded.collect::<Vec<_>>());
    let target = Path::new("/nowhere/out");
    let whole = ExportOptions { cast: Some(DType::I32), ..Default::default() };
    assert!(matches!(export(&checkpoint, target, &whole), Err(CheckpointError::CastToNonFloat { .. })));
    let teacher = ExportOptions { group: "teacher".into(), ..Default::default() };
    let message = export(&checkpoint, target, &teacher).unwrap_err().to_string();
    assert!(message.ends_with("has no group 'teacher' (it has: params, ema, step, key)"), "{message}");
}

#[test]
fn plain_hdf5_holds_the_same() {
    let options = ExportOptions { format: Format::Hdf5, ..Default::default() };
    let (folder, checkpoint, _) = exported(&options, "out.h5");
    let file = hdf5_metno::File::open(folder.path().join("out.h5")).unwrap();
    let stacked = checkpoint.read(&"ema/blocks/*/weight".into()).unwrap();
    let layer = file.dataset("blocks/2/weight").unwrap();
    assert_eq!(layer.shape(), [4, 2]);
    assert_eq!(layer.read_raw::<f32>().unwrap(), stacked.as_slice::<f32>().unwrap()[16..]);
    assert_eq!(file.dataset("blocks/0/bias").unwrap().read_raw::<u16>().unwrap().len(), 4);
    assert_eq!(file.attr("step").unwrap().read_scalar::<u64>().unwrap(), 3);
}

#[test]
fn foreign_weights_are_refused_by_name() {
    let (folder, ..) = exported(&ExportOptions::default(), "out.safetensors");
    let path = folder.path().join("out.safetensors");
    let message = |depth, width| import_safetensors(&path, &weight_types(depth, width)).err().unwrap().to_string();
    assert!(message(3, 5).contains("has embed f32[4], this model needs embed f32[5]"));
    assert!(message(4, 4).contains("lacks blocks.3.weight, which this model needs as f32[4, 2]"));
    assert!(message(2, 4).contains("has blocks.2.bias bf16[4], which this model lacks"));
    std::fs::write(&path, "garbage").unwrap();
    assert!(message(3, 4).contains("cannot read"));
}
