//! Rows of tensors, and of trees of tensors whose first dims are the same rows.

use std::ops::Range;

use twinflow_array::{Tree, leaves, map, unflatten};
use twinflow_compiler::{Tensor, concatenate};

/// Rows of every leaf's first dim.
#[track_caller]
pub(crate) fn take_rows<'t, T: Tree<Leaf = Tensor<'t>>>(tree: &T, rows: &Range<usize>) -> T::Rebind<Tensor<'t>> {
    map(tree, |_, x| if *rows == (0..x.dim(0)) { *x } else { x.slice_dim(0, rows.start, rows.end) })
}

/// `x` with the given rows replaced by `new`.
#[track_caller]
pub(crate) fn replace_rows<'t>(x: Tensor<'t>, rows: &Range<usize>, new: Tensor<'t>) -> Tensor<'t> {
    stack_rows(&[take_rows(&x, &(0..rows.start)), new, take_rows(&x, &(rows.end..x.dim(0)))])
}

/// The rows of several trees of one structure, one after the other; empty ones are left out.
///
/// # Panics
/// If there is no tree.
#[track_caller]
pub(crate) fn stack_rows<'t, T: Tree<Leaf = Tensor<'t>>>(trees: &[T]) -> T::Rebind<Tensor<'t>> {
    let columns: Vec<Vec<&Tensor<'t>>> = trees.iter().map(leaves).collect();
    let stacked = (0..columns[0].len()).map(|leaf| {
        let pieces: Vec<Tensor<'t>> =
            columns.iter().map(|column| *column[leaf]).filter(|piece| piece.dim(0) > 0).collect();
        match pieces[..] {
            [only] => only,
            _ => concatenate(&pieces, 0),
        }
    });
    unflatten(&trees[0], stacked.collect::<Vec<_>>())
}
