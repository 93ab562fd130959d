//! Structs of leaves: one definition of a model serves for its types, its traced tensors, its device buffers and its
//! host arrays, by changing the leaf type.

use crate::{HostArray, ParamPath, TensorType};

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
/// the order of the fields, and copies the others (sizes, flags) by `Clone`. A field's name is its path segment; the
/// attribute `#[tree(name = "blocks/*")]` on a field sets another.
pub trait Tree: Sized {
    /// The leaf type.
    type Leaf: Leaf;
    /// The same structure with another leaf type.
    type Rebind<M: Leaf>: Tree<Leaf = M, Rebind<Self::Leaf> = Self>;

    /// Calls `f` on each leaf, in order, with its path below `path`.
    fn visit<'a>(&'a self, path: &ParamPath, f: &mut dyn FnMut(ParamPath, &'a Self::Leaf));

    /// The same structure with each leaf replaced by what `f` makes of it; `f` sees the leaves in [`Tree::visit`]'s order.
    fn map_leaves<M: Leaf>(&self, path: &ParamPath, f: &mut dyn FnMut(ParamPath, &Self::Leaf) -> M) -> Self::Rebind<M>;

    /// The leaves by value, in order.
    fn into_leaves(self, out: &mut Vec<Self::Leaf>);
}

impl<L: Leaf> Tree for L {
    type Leaf = L;
    type Rebind<M: Leaf> = M;

    fn visit<'a>(&'a self, path: &ParamPath, f: &mut dyn FnMut(ParamPath, &'a L)) {
        f(path.clone(), self);
    }

    fn map_leaves<M: Leaf>(&self, path: &ParamPath, f: &mut dyn FnMut(ParamPath, &L) -> M) -> M {
        f(path.clone(), self)
    }

    fn into_leaves(self, out: &mut Vec<L>) {
        out.push(self);
    }
}

impl<T: Tree> Tree for Vec<T> {
    type Leaf = T::Leaf;
    type Rebind<M: Leaf> = Vec<T::Rebind<M>>;

    fn visit<'a>(&'a self, path: &ParamPath, f: &mut dyn FnMut(ParamPath, &'a T::Leaf)) {
        for (i, child) in self.iter().enumerate() {
            child.visit(&path.join(i), f);
        }
    }

    fn map_leaves<M: Leaf>(&self, path: &ParamPath, f: &mut dyn FnMut(ParamPath, &T::Leaf) -> M) -> Self::Rebind<M> {
        self.iter().enumerate().map(|(i, child)| child.map_leaves(&path.join(i), f)).collect()
    }

    fn into_leaves(self, out: &mut Vec<T::Leaf>) {
        self.into_iter().for_each(|child| child.into_leaves(out));
    }
}

impl<T: Tree> Tree for Option<T> {
    type Leaf = T::Leaf;
    type Rebind<M: Leaf> = Option<T::Rebind<M>>;

    fn visit<'a>(&'a self, path: &ParamPath, f: &mut dyn FnMut(ParamPath, &'a T::Leaf)) {
        if let Some(child) = self {
            child.visit(path, f);
        }
    }

    fn map_leaves<M: Leaf>(&self, path: &ParamPath, f: &mut dyn FnMut(ParamPath, &T::Leaf) -> M) -> Self::Rebind<M> {
        self.as_ref().map(|child| child.map_leaves(path, f))
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

            fn visit<'a>(&'a self, path: &ParamPath, f: &mut dyn FnMut(ParamPath, &'a Self::Leaf)) {
                $(self.$index.visit(&path.join($index), f);)*
            }

            fn map_leaves<M: Leaf>(&self, path: &ParamPath, f: &mut dyn FnMut(ParamPath, &Self::Leaf) -> M) -> Self::Rebind<M> {
                ($(self.$index.map_leaves(&path.join($index), f),)*)
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
    tree.visit(&ParamPath::root(), &mut |_, leaf| out.push(leaf));
    out
}

/// The same structure with references to the leaves.
pub fn by_ref<T: Tree>(tree: &T) -> T::Rebind<&T::Leaf> {
    unflatten(tree, leaves(tree))
}

/// The paths of the leaves, in order.
pub fn paths<T: Tree>(tree: &T) -> Vec<ParamPath> {
    let mut out = Vec::new();
    tree.visit(&ParamPath::root(), &mut |path, _| out.push(path));
    out
}

/// The same structure with each leaf replaced by what `f` makes of its path and value.
pub fn map<T: Tree, M: Leaf>(tree: &T, mut f: impl FnMut(ParamPath, &T::Leaf) -> M) -> T::Rebind<M> {
    tree.map_leaves(&ParamPath::root(), &mut f)
}

/// A tree of the structure of `like` from leaves in order.
///
/// # Panics
/// If there are fewer leaves than the structure needs: the caller made the list from the same structure.
pub fn unflatten<T: Tree, M: Leaf>(like: &T, leaves: impl IntoIterator<Item = M>) -> T::Rebind<M> {
    let mut leaves = leaves.into_iter();
    map(like, |path, _| leaves.next().unwrap_or_else(|| panic!("no leaf left for '{path}'")))
}
