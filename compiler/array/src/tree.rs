//! Structs of leaves: one definition of a model serves for its types, its traced tensors, its device buffers and its
//! host arrays, by changing the leaf type.

use crate::{HostArray, ParamPath, Place, TensorType};

/// A value that sits at the end of a tree: [`TensorType`], [`HostArray`], a traced tensor, a device buffer, ...
pub trait Leaf: Sized {}

impl Leaf for TensorType {}
impl Leaf for HostArray {}
impl Leaf for ParamPath {}
impl Leaf for bool {}
impl Leaf for f64 {}
impl Leaf for usize {}
impl<T> Leaf for &T {}

/// A struct whose fields are leaves of one type, or trees of such.
///
/// `#[derive(Tree)]` on `struct Name<L> { .. }` takes fields of type `L` and of types that mention `L` as children in
/// the order of the fields, and copies the others (sizes, flags) by `Clone`. A field's name is its path segment.
/// Attributes on a field say what differs, see [`Place`]:
/// - `#[tree(name = "blocks/*")]`: other segments; none if it is empty.
/// - `#[tree(external = "transformer_blocks.*")]`: the segments in other programs' files, where they are not the same;
///   `"to_q+to_k+to_v"` for what they keep in several tensors that follow each other along the last dim here.
/// - `#[tree(first = "depth")]`, beside a name with a `*`: the field of the struct, a `usize`, that holds the number of the
///   first layer in other programs' files, where layers that differ follow each other.
/// - `#[tree(layout = "linear")]`, `"conv"`, `"conv_transpose"`: the [`Layout`](crate::Layout) of a weight there.
pub trait Tree: Sized {
    /// The leaf type.
    type Leaf: Leaf;
    /// The same structure with another leaf type.
    type Rebind<M: Leaf>: Tree<Leaf = M, Rebind<Self::Leaf> = Self>;

    /// Calls `f` on each leaf, in order, with its place below `place`.
    fn visit<'a>(&'a self, place: &Place, f: &mut dyn FnMut(&Place, &'a Self::Leaf));

    /// The same structure with each leaf replaced by what `f` makes of it; `f` sees the leaves in [`Tree::visit`]'s order.
    fn map_leaves<M: Leaf>(&self, place: &Place, f: &mut dyn FnMut(&Place, &Self::Leaf) -> M) -> Self::Rebind<M>;

    /// The leaves by value, in order.
    fn into_leaves(self, out: &mut Vec<Self::Leaf>);
}

impl<L: Leaf> Tree for L {
    type Leaf = L;
    type Rebind<M: Leaf> = M;

    fn visit<'a>(&'a self, place: &Place, f: &mut dyn FnMut(&Place, &'a L)) {
        f(place, self);
    }

    fn map_leaves<M: Leaf>(&self, place: &Place, f: &mut dyn FnMut(&Place, &L) -> M) -> M {
        f(place, self)
    }

    fn into_leaves(self, out: &mut Vec<L>) {
        out.push(self);
    }
}

impl<T: Tree> Tree for Vec<T> {
    type Leaf = T::Leaf;
    type Rebind<M: Leaf> = Vec<T::Rebind<M>>;

    fn visit<'a>(&'a self, place: &Place, f: &mut dyn FnMut(&Place, &'a T::Leaf)) {
        for (i, child) in self.iter().enumerate() {
            child.visit(&place.join(&Place::new(i)), f);
        }
    }

    fn map_leaves<M: Leaf>(&self, place: &Place, f: &mut dyn FnMut(&Place, &T::Leaf) -> M) -> Self::Rebind<M> {
        self.iter().enumerate().map(|(i, child)| child.map_leaves(&place.join(&Place::new(i)), f)).collect()
    }

    fn into_leaves(self, out: &mut Vec<T::Leaf>) {
        self.into_iter().for_each(|child| child.into_leaves(out));
    }
}

impl<T: Tree> Tree for Option<T> {
    type Leaf = T::Leaf;
    type Rebind<M: Leaf> = Option<T::Rebind<M>>;

    fn visit<'a>(&'a self, place: &Place, f: &mut dyn FnMut(&Place, &'a T::Leaf)) {
        if let Some(child) = self {
            child.visit(place, f);
        }
    }

    fn map_leaves<M: Leaf>(&self, place: &Place, f: &mut dyn FnMut(&Place, &T::Leaf) -> M) -> Self::Rebind<M> {
        self.as_ref().map(|child| child.map_leaves(place, f))
    }

    fn into_leaves(self, out: &mut Vec<T::Leaf>) {
        if let Some(child) = self {
            child.into_leaves(out);
        }
    }
}

macro_rules! tuple_tree {
    ($first:ident $(, $rest:ident)* ; $($index:tt),*) => {
        impl<$first: Tree $(, $rest: Tree<Leaf = $first::Leaf>)*> Tree for ($first, $($rest,)*) {
            type Leaf = $first::Leaf;
            type Rebind<M: Leaf> = ($first::Rebind<M>, $($rest::Rebind<M>,)*);

            fn visit<'a>(&'a self, place: &Place, f: &mut dyn FnMut(&Place, &'a Self::Leaf)) {
                $(self.$index.visit(&place.join(&Place::new($index)), f);)*
            }

            fn map_leaves<M: Leaf>(&self, place: &Place, f: &mut dyn FnMut(&Place, &Self::Leaf) -> M) -> Self::Rebind<M> {
                ($(self.$index.map_leaves(&place.join(&Place::new($index)), f),)*)
            }

            fn into_leaves(self, out: &mut Vec<Self::Leaf>) {
                $(self.$index.into_leaves(out);)*
            }
        }
    };
}
tuple_tree!(A; 0);
tuple_tree!(A, B; 0, 1);
tuple_tree!(A, B, C; 0, 1, 2);
tuple_tree!(A, B, C, D; 0, 1, 2, 3);
tuple_tree!(A, B, C, D, E; 0, 1, 2, 3, 4);

/// The leaves by reference, in order.
pub fn leaves<T: Tree>(tree: &T) -> Vec<&T::Leaf> {
    let mut out = Vec::new();
    tree.visit(&Place::root(), &mut |_, leaf| out.push(leaf));
    out
}

/// The same structure with references to the leaves.
pub fn by_ref<T: Tree>(tree: &T) -> T::Rebind<&T::Leaf> {
    unflatten(tree, leaves(tree))
}

/// The paths of the leaves, in order.
pub fn paths<T: Tree>(tree: &T) -> Vec<ParamPath> {
    let mut out = Vec::new();
    tree.visit(&Place::root(), &mut |place, _| out.push(place.path().clone()));
    out
}

/// The same structure with each leaf replaced by what `f` makes of its path and value.
pub fn map<T: Tree, M: Leaf>(tree: &T, mut f: impl FnMut(&Place, &T::Leaf) -> M) -> T::Rebind<M> {
    tree.map_leaves(&Place::root(), &mut f)
}

/// A tree of the structure of `like` from leaves in order.
///
/// # Panics
/// If there are fewer leaves than the structure needs: the caller made the list from the same structure.
pub fn unflatten<T: Tree, M: Leaf>(like: &T, leaves: impl IntoIterator<Item = M>) -> T::Rebind<M> {
    let mut leaves = leaves.into_iter();
    map(like, |place, _| leaves.next().unwrap_or_else(|| panic!("no leaf left for '{}'", place.path())))
}
