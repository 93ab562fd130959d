//! Derivatives of traced functions: reverse mode ([`vjp`], [`grad`]) and forward mode ([`jvp`]).
//!
//! Both walk over the instructions that the function recorded and apply each operation's rule, which records more
//! instructions in the same trace; so derivatives can be taken again.

mod forward;
mod reverse;

pub use forward::jvp;
pub(crate) use forward::pushforward;
pub(crate) use reverse::backward;
pub use reverse::{Pullback, grad, value_and_grad, vjp};

use twinflow_array::{Leaf, Place, Tree};

use crate::trace::{Tensor, Trace};

/// The trace of a tree's tensors.
///
/// # Panics
/// If the tree holds no tensor: there is nothing to derive for.
fn trace_of<'t, A: Tree<Leaf = Tensor<'t>>>(tree: &A) -> &'t Trace {
    let mut trace = None;
    tree.visit(&Place::root(), &mut |_, tensor| trace = Some(tensor.trace()));
    trace.expect("derivatives are taken for at least one tensor")
}

/// The leaves of a tree of tensors, copied.
fn tensors<'t, A: Tree<Leaf = Tensor<'t>>>(tree: &A) -> Vec<Tensor<'t>> {
    twinflow_array::leaves(tree).into_iter().copied().collect()
}

/// A tree of the structure of `like` with these leaves.
fn rebuild<A: Tree, M: Leaf>(like: &A, leaves: Vec<M>) -> A::Rebind<M> {
    twinflow_array::unflatten(like, leaves)
}

/// Fresh names for the variables, so that uses of the same tensors from outside the function do not count.
fn alias<'t, A: Tree<Leaf = Tensor<'t>>>(args: &A) -> A::Rebind<Tensor<'t>> {
    twinflow_array::map(args, |_, tensor| tensor.alias())
}
