//! Restoring into a model's structure, and what is said when it does not fit.

mod fixture;

use fixture::{save_in, state, weight_types};
use tempfile::tempdir;
use twinflow_array::{DType, HostArray, ParamPath, TensorType, leaves, paths};
use twinflow_checkpoints::{Checkpoint, CheckpointError};

#[test]
fn a_tree_is_restored_from_its_group() {
    let folder = tempdir().unwrap();
    let checkpoint = Checkpoint::open(save_in(folder.path(), 3, &state(3))).unwrap();
    let weights = checkpoint.restore_into(&weight_types(3, 4), &"ema".into()).unwrap();
    let below = |path: &ParamPath| path.as_str().strip_prefix("ema/").map(ParamPath::from);
    let expected: Vec<_> =
        checkpoint.read_all().unwrap().into_iter().filter_map(|(path, array)| Some((below(&path)?, array))).collect();
    assert_eq!(leaves(&weights), expected.iter().map(|(_, array)| array).collect::<Vec<_>>());
    assert_eq!(paths(&weights), expected.into_iter().map(|(path, _)| path).collect::<Vec<_>>());
    let step = checkpoint.restore_into(&TensorType::scalar(DType::U64), &"step".into()).unwrap();
    assert_eq!(step.as_slice::<u64>().unwrap(), [3]);
}

#[test]
fn the_first_difference_is_named_with_both_types() {
    let folder = tempdir().unwrap();
    let path = save_in(folder.path(), 3, &state(3));
    let checkpoint = Checkpoint::open(&path).unwrap();
    let message = |depth, width, prefix: &str| {
        checkpoint.restore_into(&weight_types(depth, width), &prefix.into()).err().unwrap().to_string()
    };
    let advice = "use the config that it was written with, or start a new run";
    assert_eq!(
        message(5, 4, "params"),
        format!(
            "{} has params/blocks/*/weight f32[3, 4, 2], this model needs params/blocks/*/weight f32[5, 4, 2]: {advice}",
            path.display()
        )
    );
    assert!(message(3, 8, "params").contains("params/embed f32[4], this model needs params/embed f32[8]"));
    assert!(message(3, 4, "teacher").contains("lacks teacher/embed, which this model needs as f32[4]"));
    let mut other_dtype = weight_types(3, 4);
    other_dtype.blocks.bias.dtype = DType::F32;
    let error = checkpoint.restore_into(&other_dtype, &"ema".into()).err().unwrap();
    assert!(error.to_string().contains("ema/blocks/*/bias bf16[3, 4], this model needs"), "{error}");
}

#[test]
fn an_array_that_the_model_lacks_is_named() {
    let folder = tempdir().unwrap();
    let checkpoint = Checkpoint::open(save_in(folder.path(), 3, &state(3))).unwrap();
    let extra = checkpoint.restore_into(&weight_types(3, 4).blocks.weight, &"ema/blocks/*/weight".into());
    assert!(extra.is_ok(), "a prefix may be a whole name");
    let error = checkpoint.restore_into(&weight_types(3, 4).blocks, &"ema/blocks".into()).err().unwrap();
    assert!(matches!(&error, CheckpointError::Missing { array, .. } if array.as_str() == "ema/blocks/weight"));
    let error = checkpoint.restore_into(&Vec::<TensorType>::new(), &ParamPath::root()).err().unwrap();
    assert!(error.to_string().contains("has params/embed f32[4], which this model lacks"), "{error}");
    // `em` is no group, though names start with it.
    assert!(checkpoint.restore_into(&Vec::<TensorType>::new(), &"em".into()).is_ok());
}

#[test]
fn weights_without_an_average_are_those_of_the_parameters() {
    let folder = tempdir().unwrap();
    let read = |arrays: &[(ParamPath, HostArray)], step| {
        let checkpoint = Checkpoint::open(save_in(folder.path(), step, arrays)).unwrap();
        checkpoint.restore_weights(&weight_types(3, 4), "ema")
    };
    let mut arrays = state(3);
    let whole = read(&arrays, 1).unwrap();
    arrays.retain(|(path, _)| path.as_str() != "ema/embed");
    let of = |path: &str| &arrays.iter().find(|(known, _)| known.as_str() == path).unwrap().1;
    let frozen = read(&arrays, 2).unwrap();
    assert_eq!(&frozen.embed, of("params/embed"));
    assert_ne!(frozen.embed, whole.embed);
    assert_eq!(leaves(&frozen)[1..], leaves(&whole)[1..]);
    arrays.retain(|(path, _)| path.as_str() != "params/embed");
    let message = read(&arrays, 3).err().unwrap().to_string();
    assert!(message.contains("lacks ema/embed, which this model needs as f32[4]"), "{message}");
}

#[test]
fn info_tells_what_is_inside() {
    let folder = tempdir().unwrap();
    let checkpoint = Checkpoint::open(save_in(folder.path(), 1234, &state(3))).unwrap();
    let text = checkpoint.info().to_string();
    assert!(text.starts_with(&format!("{}\n", folder.path().join("step-00001234.h5").display())), "{text}");
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    for row in [
        &["schema", "twinflow-checkpoint", "version", "1"][..],
        &["step", "1234"],
        &["phase", "flow_matching"],
        &["world", "size", "2"],
        &["ema", "3", "40", "136", "bf16", "f32"],
        &["key", "1", "2", "8", "u32"],
        &["width", "=", "4"],
    ] {
        assert!(rows.iter().any(|found| found == row), "{row:?} in\n{text}");
    }
    assert_eq!(checkpoint.groups(), ["params", "ema", "step", "key"]);
}
