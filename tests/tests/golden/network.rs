//! The network of the golden values.

use twinflow_array::Tree;
use twinflow_compiler::{Tensor, concatenate};
use twinflow_nn::{Condition, Denoiser, DenoiserInput, Init, Params};

/// Parameters of [`GoldenNetwork`].
#[derive(Clone, Debug, Tree)]
pub struct TwoLayers<L> {
    pub w1: L,
    pub b1: L,
    pub w2: L,
    pub b2: L,
}

/// `F(x, t, r, c) = tanh([x, t, r, c] w1 + b1) w2 + b2`, conditioned on a vector.
pub struct GoldenNetwork;

impl Denoiser for GoldenNetwork {
    fn parameters(&self) -> Params<Init> {
        Params::from_tree(layers(Init::zeros([0])))
    }

    fn velocity<'t>(&self, params: &Params<Tensor<'t>>, input: &DenoiserInput<Tensor<'t>>) -> Tensor<'t> {
        let DenoiserInput { x, t, r, .. } = *input;
        let TwoLayers { w1, b1, w2, b2 } = params.to_tree(&layers(Init::zeros([0])));
        let condition = input.condition.labels_of(x);
        let input = concatenate(&[x, t.expand_dims(-1), r.expand_dims(-1), condition], -1);
        (input.matmul(w1) + b1).tanh().matmul(w2) + b2
    }
}

/// The vector stands where networks of this program have labels.
pub fn condition<L>(vector: L) -> Condition<L> {
    Condition::of_labels(vector)
}

fn layers<L: Clone>(leaf: L) -> TwoLayers<L> {
    TwoLayers { w1: leaf.clone(), b1: leaf.clone(), w2: leaf.clone(), b2: leaf }
}
