//! Methods on dims: sizes, reshape, broadcast, transpose.

use twinflow_array::Shape;

use crate::{
    ops::shape::{BroadcastInDim, Reshape, Transpose},
    trace::Tensor,
};

impl<'t> Tensor<'t> {
    /// The size of a dim; negative dims count from the end.
    #[track_caller]
    pub fn dim(self, dim: isize) -> usize {
        self.shape()[self.dim_index(dim)]
    }

    /// A dim as an index; negative dims count from the end.
    #[track_caller]
    pub(crate) fn dim_index(self, dim: isize) -> usize {
        let rank = self.rank() as isize;
        let index = if dim < 0 { dim + rank } else { dim };
        if (0..rank).contains(&index) {
            return index as usize;
        }
        self.trace().fail("dim", format!("dim {dim} is out of range for {}", self.ty()))
    }

    /// Several dims as ascending indices.
    #[track_caller]
    pub(crate) fn dim_indices(self, dims: &[isize]) -> Vec<usize> {
        let mut indices: Vec<usize> = dims.iter().map(|&dim| self.dim_index(dim)).collect();
        indices.sort_unstable();
        indices.dedup();
        indices
    }

    /// The same elements in another shape.
    #[track_caller]
    pub fn reshape(self, shape: impl Into<Shape>) -> Tensor<'t> {
        let shape = shape.into();
        if self.shape() == shape { self } else { self.apply(Reshape { shape }, [self]) }
    }

    /// Repeated to `shape` by NumPy's rule: trailing dims aligned, size 1 repeats.
    #[track_caller]
    pub fn broadcast_to(self, shape: impl Into<Shape>) -> Tensor<'t> {
        let shape = shape.into();
        let rank = self.rank();
        if rank > shape.rank() {
            self.trace().fail("broadcast_to", format!("{} has more dims than {shape}", self.ty()));
        }
        let dims: Vec<usize> = (shape.rank() - rank..shape.rank()).collect();
        self.broadcast_in_dim(shape, &dims)
    }

    /// Repeated to `shape`, operand dim k becoming dim `dims[k]`.
    #[track_caller]
    pub fn broadcast_in_dim(self, shape: impl Into<Shape>, dims: &[usize]) -> Tensor<'t> {
        let shape = shape.into();
        if self.shape() == shape {
            return self;
        }
        self.apply(BroadcastInDim { shape, dims: dims.to_vec() }, [self])
    }

    /// Dims in another order: result dim k is operand dim `permutation[k]`.
    #[track_caller]
    pub fn transpose(self, permutation: &[usize]) -> Tensor<'t> {
        if permutation.iter().copied().eq(0..self.rank()) {
            return self;
        }
        self.apply(Transpose { permutation: permutation.to_vec() }, [self])
    }

    /// With a dim of size 1 put in before `dim` (negative: counted from the end of the result).
    #[track_caller]
    pub fn expand_dims(self, dim: isize) -> Tensor<'t> {
        let rank = self.rank() as isize + 1;
        let index = if dim < 0 { dim + rank } else { dim };
        if !(0..rank).contains(&index) {
            self.trace().fail("expand_dims", format!("dim {dim} is out of range for {}", self.ty()));
        }
        let mut dims = self.shape().to_vec();
        dims.insert(index as usize, 1);
        self.reshape(dims)
    }

    /// Without a dim of size 1.
    #[track_caller]
    pub fn squeeze(self, dim: isize) -> Tensor<'t> {
        let index = self.dim_index(dim);
        let mut dims = self.shape().to_vec();
        if dims.remove(index) != 1 {
            self.trace().fail("squeeze", format!("dim {dim} of {} is not 1", self.ty()));
        }
        self.reshape(dims)
    }
}
