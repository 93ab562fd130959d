//! A tree has one structure, an enum many.

use twinflow_array::Tree;

#[derive(Tree)]
enum Layer<L> {
    Dense(L),
    Convolution { kernel: L, bias: L },
}

fn main() {}
