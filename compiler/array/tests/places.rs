//! What a derived tree says of its leaves: paths here, names, layouts and types in other programs' files.

use twinflow_array::{ArrayError, DType, HostArray, Layout, Place, TensorType, Tree, map, paths};

#[derive(Clone, Debug, Tree)]
struct Linear<L> {
    #[tree(layout = "linear")]
    weight: L,
    bias: Option<L>,
}

#[derive(Clone, Debug, Tree)]
struct Block<L> {
    #[tree(external = "attn.to_q+attn.to_k")]
    query_key: Linear<L>,
    #[tree(name = "", external = "norm")]
    scale: L,
}

#[derive(Clone, Debug, Tree)]
struct Model<L> {
    #[tree(external = "x_embedder.proj")]
    patch_embedding: Linear<L>,
    #[tree(name = "blocks/*", external = "transformer_blocks.*")]
    blocks: Block<L>,
    #[tree(external = "")]
    head: (L,),
}

fn model() -> Model<TensorType> {
    let f32 = |shape: &[usize]| TensorType::f32(shape);
    Model {
        patch_embedding: Linear { weight: f32(&[2, 3]), bias: Some(f32(&[3])) },
        blocks: Block { query_key: Linear { weight: f32(&[2, 3, 4]), bias: None }, scale: f32(&[2, 5]) },
        head: (TensorType::scalar(DType::F32),),
    }
}

/// Each leaf of `0, 1, ..`, as others hold it: name, shape, values.
fn external(model: &Model<HostArray>) -> Vec<(String, Vec<usize>, Vec<f64>)> {
    let mut found = Vec::new();
    model.visit(&Place::root(), &mut |place, leaf| {
        let tensors = place.to_external(leaf).unwrap();
        let types = place.external_types(leaf.ty()).unwrap();
        assert!(tensors.iter().map(|(name, array)| (name, array.ty())).eq(types.iter().map(|(name, ty)| (name, ty))));
        found.extend(tensors.into_iter().map(|(name, array)| (name, array.shape().to_vec(), array.to_f64())));
    });
    found
}

fn counted(model: &Model<TensorType>) -> Model<HostArray> {
    map(model, |_, ty| {
        let values: Vec<f64> = (0..ty.shape.elements()).map(|i| i as f64).collect();
        HostArray::from_f64(ty.clone(), &values).unwrap()
    })
}

#[test]
fn names_are_written_where_they_differ() {
    let names: Vec<String> = paths(&model()).iter().map(ToString::to_string).collect();
    let expected =
        ["patch_embedding/weight", "patch_embedding/bias", "blocks/*/query_key/weight", "blocks/*", "head/0"];
    assert_eq!(names, expected);
    let mut places = Vec::new();
    model().visit(&Place::new("ema"), &mut |place, _| places.push(place.clone()));
    assert_eq!(places[0].path().as_str(), "ema/patch_embedding/weight");
    assert_eq!((places[0].external(), places[0].layout()), (vec!["ema.x_embedder.proj.weight".into()], Layout::Linear));
    assert_eq!(places[4].external(), ["ema.0"]);
}

#[test]
fn stacks_and_joins_are_tensors_of_their_own() {
    let found = external(&counted(&model()));
    let tensor = |name: &str, shape: &[usize], values: &[i32]| {
        (name.to_owned(), shape.to_vec(), values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>())
    };
    let expected = [
        tensor("x_embedder.proj.weight", &[3, 2], &[0, 3, 1, 4, 2, 5]),
        tensor("x_embedder.proj.bias", &[3], &[0, 1, 2]),
        tensor("transformer_blocks.0.attn.to_q.weight", &[2, 3], &[0, 4, 8, 1, 5, 9]),
        tensor("transformer_blocks.0.attn.to_k.weight", &[2, 3], &[2, 6, 10, 3, 7, 11]),
        tensor("transformer_blocks.1.attn.to_q.weight", &[2, 3], &[12, 16, 20, 13, 17, 21]),
        tensor("transformer_blocks.1.attn.to_k.weight", &[2, 3], &[14, 18, 22, 15, 19, 23]),
        tensor("transformer_blocks.0.norm", &[5], &[0, 1, 2, 3, 4]),
        tensor("transformer_blocks.1.norm", &[5], &[5, 6, 7, 8, 9]),
        tensor("0", &[], &[0]),
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_goes_out_comes_back() {
    counted(&model()).visit(&Place::root(), &mut |place, leaf| {
        let mut tensors = place.to_external(leaf).unwrap().into_iter();
        let back = place.from_external(leaf.ty(), |name, ty| {
            let (known, array) = tensors.next().unwrap();
            assert_eq!((name, ty), (known.as_str(), array.ty()));
            Ok::<_, ArrayError>(array)
        });
        assert_eq!(back.unwrap(), *leaf, "{}", place.path());
    });
}

#[test]
fn a_leaf_that_does_not_fit_its_place_is_named() {
    let refused =
        |place: Place, shape: &[usize]| place.external_types(&TensorType::f32(shape)).unwrap_err().to_string();
    assert_eq!(
        refused(Place::new("qkv").with_external("q+k+v"), &[2, 4]),
        "'qkv' is f32[2, 4]: its last dim has no 3 equal parts"
    );
    let error = "'blocks/*/scale' is f32[2]: its 1 stacked dims do not fit the name layers.scale";
    assert_eq!(refused(Place::new("blocks/*/scale").with_external("layers.scale"), &[2]), error);
    let wrong = |_: &str, _: &TensorType| Ok::<_, ArrayError>(HostArray::scalar(1.0f32));
    let error = Place::new("bias").from_external(&TensorType::f32([2]), wrong).unwrap_err();
    assert_eq!(error.to_string(), "'bias' is f32[2]: 'bias' is f32[], not f32[2]");
}

/// Layers of two kinds that others number in one go, each with parts of its own.
#[derive(Clone, Tree)]
struct Runs<L> {
    #[tree(name = "wide/*", external = "layers.*")]
    wide: L,
    #[tree(name = "narrow/*", external = "layers.*", first = "depth_of_wide")]
    narrow: Parts<L>,
    depth_of_wide: usize,
}

#[derive(Clone, Tree)]
struct Parts<L> {
    #[tree(name = "parts/*")]
    parts: L,
}

#[test]
fn stacks_that_follow_each_other_share_a_numbering() {
    let parts = Parts { parts: TensorType::f32([2, 2, 1]) };
    let runs = Runs { wide: TensorType::f32([3, 4]), narrow: parts, depth_of_wide: 3 };
    let mut names = Vec::new();
    runs.visit(&Place::root(), &mut |place, ty| {
        names.extend(place.external_types(ty).unwrap().into_iter().map(|(name, _)| name));
    });
    let narrow = ["layers.3.parts.0", "layers.3.parts.1", "layers.4.parts.0", "layers.4.parts.1"];
    assert_eq!(names, [&["layers.0", "layers.1", "layers.2"][..], &narrow].concat());
}
