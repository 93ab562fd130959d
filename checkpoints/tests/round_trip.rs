//! What is saved comes back bit for bit.

mod fixture;

use fixture::{metadata, save_in, state};
use half::{bf16, f16};
use proptest::prelude::*;
use tempfile::tempdir;
use twinflow_array::{DType, HostArray, ParamPath, TensorType};
use twinflow_checkpoints::{Checkpoint, CheckpointError, SaveRequest, save, verify};

fn assert_comes_back(arrays: &[(ParamPath, HostArray)]) {
    let folder = tempdir().unwrap();
    let path = save_in(folder.path(), 7, arrays);
    let checkpoint = Checkpoint::open(&path).unwrap();
    assert_eq!(checkpoint.metadata(), &metadata(7));
    assert_eq!(checkpoint.read_all().unwrap(), arrays);
    assert!(verify(&path).unwrap().damaged.is_empty());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing but the checkpoint remains");
}

#[test]
fn every_dtype_with_nan_payloads_scalars_and_empty_arrays() {
    let named = |name: &str, array| (ParamPath::from(name), array);
    let signalling = f32::from_bits(0x7f80_0001);
    assert_comes_back(&[
        named("params/blocks/*/w", HostArray::from_slice([2, 2], &[signalling, -0.0, f32::NAN, 1e-45]).unwrap()),
        named("params/blocks/*/b", HostArray::from_slice([2], &[bf16::from_bits(0x7f81), bf16::MAX]).unwrap()),
        named("params/a", HostArray::from_slice([2], &[f16::from_bits(0xfc01), f16::MIN]).unwrap()),
        named("z", HostArray::from_slice([1], &[f64::from_bits(0x7ff0_0000_0000_0001)]).unwrap()),
        named("y", HostArray::from_slice([2], &[u64::MAX, 0]).unwrap()),
        named("x", HostArray::from_slice([2], &[i64::MIN, i64::MAX]).unwrap()),
        named("key", HostArray::from_slice([2], &[u32::MAX, 1]).unwrap()),
        named("w", HostArray::from_slice([2], &[i32::MIN, -1]).unwrap()),
        named("v", HostArray::from_slice([3], &[0u8, 255, 7]).unwrap()),
        named("u", HostArray::from_bytes(TensorType::new(DType::Bool, [3]), &[0, 1, 1]).unwrap()),
        named("step", HostArray::scalar(7u64)),
        named("none", HostArray::zeros(TensorType::f32([0, 4]))),
    ]);
    assert_comes_back(&[]);
}

#[test]
fn a_long_config_and_other_scripts_come_back() {
    let folder = tempdir().unwrap();
    let mut metadata = metadata(0);
    metadata.config = "# Gewichte \u{2211} \u{65e5}\u{672c}\n".repeat(20_000);
    let path = save(&SaveRequest { folder: folder.path().into(), metadata: metadata.clone(), arrays: vec![] }).unwrap();
    assert_eq!(Checkpoint::open(path).unwrap().metadata(), &metadata);
}

#[test]
fn saving_a_step_again_replaces_it() {
    let folder = tempdir().unwrap();
    save_in(folder.path(), 7, &state(1));
    let path = save_in(folder.path(), 7, &state(2));
    assert_eq!(Checkpoint::open(path).unwrap().read_all().unwrap(), state(2));
}

#[test]
fn names_that_hdf5_cannot_hold_are_refused() {
    let folder = tempdir().unwrap();
    let array = HostArray::scalar(1.0f32);
    let refused = |names: &[&str]| {
        let arrays = names.iter().map(|name| (ParamPath::from(*name), array.clone())).collect();
        save(&SaveRequest { folder: folder.path().into(), metadata: metadata(1), arrays }).unwrap_err()
    };
    for name in ["", "a//b", "/a", "a/.", "../a", "a\0"] {
        assert!(matches!(refused(&[name]), CheckpointError::BadName { .. }), "{name:?}");
    }
    for names in [["a", "a"], ["a/b", "a"], ["a", "a/b"]] {
        assert!(matches!(refused(&names), CheckpointError::NameTaken { .. }), "{names:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

fn any_array() -> impl Strategy<Value = HostArray> {
    let types = (prop::sample::select(DType::ALL.to_vec()), prop::collection::vec(0usize..4, 0..4));
    types.prop_flat_map(|(dtype, dims)| {
        let ty = TensorType::new(dtype, dims);
        let byte = if dtype == DType::Bool { 0u8..=1 } else { 0..=255 };
        let bytes = prop::collection::vec(byte, ty.bytes());
        bytes.prop_map(move |bytes| HostArray::from_bytes(ty.clone(), &bytes).unwrap())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_list_of_arrays_comes_back(named in prop::collection::btree_map("[a-z*][a-z0-9_.]{0,3}x", any_array(), 0..12)) {
        // Alternating depths, so that groups are shared but no name is another's group.
        let arrays: Vec<_> = named
            .into_iter()
            .enumerate()
            .map(|(i, (name, array))| (ParamPath::from(format!("{}{name}", ["", "g/", "g/*/h/"][i % 3]).as_str()), array))
            .collect();
        assert_comes_back(&arrays);
    }
}
