//! The parameters of any network as one tree.

use std::sync::Arc;

use twinflow_array::{HostArray, Leaf, ParamPath, Place, TensorType, Tree, leaves, map, unflatten};
use twinflow_compiler::Tensor;

use crate::Init;

/// The parameters of any network: leaves with their places, in the order of the network's own typed tree.
///
/// A network's own struct of parameters is known only to the network; training states, optimizers and checkpoints see
/// this type, so that they are the same for every network.
#[derive(Clone, Debug)]
pub struct Params<L> {
    places: Arc<[Place]>,
    leaves: Vec<L>,
}

impl<L: Leaf> Params<L> {
    /// The leaves of a typed tree.
    pub fn from_tree<T: Tree<Leaf = L>>(tree: T) -> Self {
        let (mut places, mut leaves) = (Vec::new(), Vec::new());
        tree.visit(&Place::root(), &mut |place, _| places.push(place.clone()));
        tree.into_leaves(&mut leaves);
        Params { places: places.into(), leaves }
    }

    /// Leaves with their places.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (Place, L)>) -> Self {
        let (places, leaves): (Vec<Place>, Vec<L>) = pairs.into_iter().unzip();
        Params { places: places.into(), leaves }
    }

    /// The leaves of several trees one after the other.
    pub fn concatenate(trees: &[Self]) -> Self
    where
        L: Clone,
    {
        Params::from_pairs(trees.iter().flat_map(Self::pairs))
    }

    fn pairs(&self) -> impl Iterator<Item = (Place, L)>
    where
        L: Clone,
    {
        self.places.iter().cloned().zip(self.leaves.iter().cloned())
    }

    /// A typed tree of the structure of `like`, which must be what these parameters were made from.
    pub fn to_tree<T: Tree>(&self, like: &T) -> T::Rebind<L>
    where
        L: Clone,
    {
        unflatten(like, self.leaves.iter().cloned())
    }

    /// In the order of their paths.
    pub fn leaves(&self) -> &[L] {
        &self.leaves
    }

    /// Paths in this program, names and layouts in others, in order.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Names in this program, in order.
    pub fn paths(&self) -> impl Iterator<Item = &ParamPath> {
        self.places.iter().map(Place::path)
    }

    /// The leaves for which `mask` holds, and the others.
    ///
    /// # Panics
    /// If the mask has another length.
    pub fn partition(&self, mask: &[bool]) -> (Self, Self)
    where
        L: Clone,
    {
        assert_eq!(self.leaves.len(), mask.len(), "a mask of other parameters");
        let side = |wanted: bool| {
            let pairs = self.places.iter().zip(&self.leaves).zip(mask).filter(move |(_, held)| **held == wanted);
            Params::from_pairs(pairs.map(|((place, leaf), _)| (place.clone(), leaf.clone())))
        };
        (side(true), side(false))
    }

    /// The inverse of [`Params::partition`].
    ///
    /// # Panics
    /// If the mask asks for more leaves than a side has.
    pub fn merge(held: &Self, others: &Self, mask: &[bool]) -> Self
    where
        L: Clone,
    {
        let (mut held, mut others) = (held.pairs(), others.pairs());
        let next = mask.iter().map(|is_held| if *is_held { held.next() } else { others.next() });
        Params::from_pairs(next.map(|pair| pair.expect("a mask of other parameters")))
    }

    /// The same parameters, with the leaves of `other` where it has the path.
    pub fn overlaid_with(&self, other: &Self) -> Self
    where
        L: Clone,
    {
        let mut others = other.paths().zip(&other.leaves).peekable();
        let leaves = self.paths().zip(&self.leaves).map(|(path, leaf)| {
            others.next_if(|(other, _)| *other == path).map_or_else(|| leaf.clone(), |(_, leaf)| leaf.clone())
        });
        self.with_leaves(leaves.collect::<Vec<_>>())
    }

    /// The same parameters with other leaves, given in order, as many as there are.
    pub fn with_leaves<M: Leaf>(&self, leaves: impl IntoIterator<Item = M>) -> Params<M> {
        unflatten(self, leaves)
    }

    /// The same parameters with other leaves, made from each leaf and the one at the same place in `other`.
    ///
    /// # Panics
    /// If the two hold different numbers of leaves: both come from one network.
    pub fn zip_map<M: Leaf, N: Leaf>(&self, other: &Params<M>, mut f: impl FnMut(&L, &M) -> N) -> Params<N> {
        assert_eq!(self.leaves.len(), other.leaves.len(), "parameters of different networks");
        let leaves = self.leaves.iter().zip(&other.leaves).map(|(a, b)| f(a, b)).collect();
        Params { places: self.places.clone(), leaves }
    }
}

impl Params<Init> {
    /// The parameters' types.
    pub fn spec(&self) -> Params<TensorType> {
        map(self, |_, init| init.ty())
    }

    /// The parameters' first values: a function of the seed and each parameter's path alone.
    pub fn sample(&self, seed: u64) -> Params<HostArray> {
        map(self, |place, init| init.sample(seed, place.path()))
    }
}

impl<'t> Params<Tensor<'t>> {
    /// The tensors' types.
    pub fn types(&self) -> Params<TensorType> {
        map(self, |_, tensor| tensor.ty())
    }
}

impl Params<TensorType> {
    /// How many numbers the parameters hold together.
    pub fn count(&self) -> usize {
        leaves(self).iter().map(|ty| ty.shape.elements()).sum()
    }
}

impl<L: Leaf> Tree for Params<L> {
    type Leaf = L;
    type Rebind<M: Leaf> = Params<M>;

    fn visit<'a>(&'a self, place: &Place, f: &mut dyn FnMut(&Place, &'a L)) {
        self.places.iter().zip(&self.leaves).for_each(|(own, leaf)| f(&place.join(own), leaf));
    }

    fn map_leaves<M: Leaf>(&self, place: &Place, f: &mut dyn FnMut(&Place, &L) -> M) -> Params<M> {
        let leaves = self.places.iter().zip(&self.leaves).map(|(own, leaf)| f(&place.join(own), leaf)).collect();
        Params { places: self.places.clone(), leaves }
    }

    fn into_leaves(self, out: &mut Vec<L>) {
        out.extend(self.leaves);
    }
}
