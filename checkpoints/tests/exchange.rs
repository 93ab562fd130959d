//! Weights that go out come in again, under the names that others use.

mod fixture;

use std::{os::unix::fs::PermissionsExt, path::Path};

use fixture::{Weights, save_in, state, weight_types};
use half::bf16;
use safetensors::{Dtype, SafeTensors};
use tempfile::{TempDir, tempdir};
use twinflow_array::{DType, HostArray, Place, TensorType, Tree, leaves};
use twinflow_checkpoints::{
    Checkpoint, CheckpointError, ExportOptions, ExportSummary, Format, export, import_safetensors,
};

fn exported(options: &ExportOptions, name: &str) -> (TempDir, Checkpoint, ExportSummary) {
    let folder = tempdir().unwrap();
    let checkpoint = Checkpoint::open(save_in(folder.path(), 3, &state(3))).unwrap();
    let summary = export(&checkpoint, &weight_types(3, 4), &folder.path().join(name), options).unwrap();
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
fn equal_weights_give_equal_files() {
    let bytes = |_| {
        let options = ExportOptions { config: Some("[model]\n".into()), ..Default::default() };
        let (folder, ..) = exported(&options, "out.safetensors");
        std::fs::read(folder.path().join("out.safetensors")).unwrap()
    };
    // A hash map's order is another in each.
    let files: Vec<Vec<u8>> = (0..8).map(bytes).collect();
    assert!(files.windows(2).all(|pair| pair[0] == pair[1]));
    let (_, notes) = SafeTensors::read_metadata(&files[0]).unwrap();
    assert_eq!(notes.metadata().as_ref().unwrap()["config"], "[model]\n");
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
    assert!(matches!(
        export(&checkpoint, &weight_types(3, 4), target, &whole),
        Err(CheckpointError::CastToNonFloat { .. })
    ));
    let teacher = ExportOptions { group: "teacher".into(), ..Default::default() };
    let message = export(&checkpoint, &weight_types(3, 4), target, &teacher).unwrap_err().to_string();
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
    // All that does not fit is said at once.
    assert_eq!(message(2, 5).matches("\n  it ").count(), 7, "{}", message(2, 5));
    std::fs::write(&path, "garbage").unwrap();
    assert!(message(3, 4).contains("cannot read"));
}

/// A layer as others have it: under other names, transposed, its queries and values in two tensors.
#[derive(Clone, Tree)]
struct Foreign<L> {
    #[tree(name = "layers/*", external = "model.layers.*")]
    layers: ForeignLayer<L>,
    #[tree(external = "")]
    head: ForeignLayer<L>,
}

#[derive(Clone, Tree)]
struct ForeignLayer<L> {
    #[tree(external = "to_q.weight+to_v.weight", layout = "linear")]
    qv: L,
    #[tree(external = "to_q.bias+to_v.bias")]
    bias: L,
}

#[test]
fn other_names_layouts_and_joins_go_out_and_come_back() {
    let layer = |depth: &[usize]| ForeignLayer {
        qv: TensorType::f32([depth, &[3, 4]].concat()),
        bias: TensorType::f32([depth, &[4]].concat()),
    };
    let like = Foreign { layers: layer(&[2]), head: layer(&[]) };
    let mut arrays = Vec::new();
    like.visit(&Place::new("ema"), &mut |place, ty| {
        let values: Vec<f64> = (0..ty.shape.elements()).map(|i| i as f64).collect();
        arrays.push((place.path().clone(), HostArray::from_f64(ty.clone(), &values).unwrap()));
    });
    let folder = tempdir().unwrap();
    let checkpoint = Checkpoint::open(save_in(folder.path(), 1, &arrays)).unwrap();
    let path = folder.path().join("out.safetensors");
    export(&checkpoint, &like, &path, &ExportOptions::default()).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    // Layer 1 of [in, out] begins at 12: v is its last two columns, here as rows.
    let v = file.tensor("model.layers.1.to_v.weight").unwrap();
    let expected: Vec<u8> = [14f32, 18.0, 22.0, 15.0, 19.0, 23.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    assert_eq!((v.shape(), v.data()), (&[2, 3][..], &expected[..]));
    assert_eq!(file.tensor("to_v.bias").unwrap().data(), [2f32, 3.0].map(f32::to_le_bytes).concat());
    let imported = import_safetensors(&path, &like).unwrap();
    assert_eq!(leaves(&imported), arrays.iter().map(|(_, array)| array).collect::<Vec<_>>());
}

#[test]
fn floats_are_converted_on_the_way_in_and_nothing_else() {
    let options = ExportOptions { cast: Some(DType::BF16), ..Default::default() };
    let (folder, checkpoint, _) = exported(&options, "out.safetensors");
    let path = folder.path().join("out.safetensors");
    let imported = import_safetensors(&path, &weight_types(3, 4)).unwrap();
    let embed = checkpoint.read(&"ema/embed".into()).unwrap();
    assert_eq!(imported.embed, embed.convert(DType::BF16).convert(DType::F32));
    let integers = Weights { embed: TensorType::new(DType::I32, [4]), ..weight_types(3, 4) };
    let error = import_safetensors(&path, &integers).err().unwrap().to_string();
    assert!(error.contains("has embed bf16[4], this model needs embed i32[4]"), "{error}");
}

#[test]
fn exported_files_have_the_mode_that_new_files_have() {
    let (folder, ..) = exported(&ExportOptions::default(), "out.safetensors");
    let mode = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
    std::fs::write(folder.path().join("new"), "").unwrap();
    assert_eq!(mode("out.safetensors"), mode("new"));
}
