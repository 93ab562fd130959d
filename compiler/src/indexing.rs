//! Parts of tensors and unions of them: slices, padding, joining, lookup by indices.

use std::{
    panic::{Location, resume_unwind},
    sync::Arc,
};

use crate::{
    error::{TraceError, TypeError, show_location},
    ops::{
        dynamic_slice::{DynamicSlice, DynamicUpdateSlice},
        gather::{Gather, Indexing, ScatterAdd},
        slice::{Concatenate, Pad, Reverse, Slice},
    },
    trace::Tensor,
};

impl<'t> Tensor<'t> {
    /// The elements from `starts` up to, not including, `limits`, one bound of each for every dim.
    #[track_caller]
    pub fn slice(self, starts: &[usize], limits: &[usize]) -> Tensor<'t> {
        self.slice_strided(starts, limits, &vec![1; starts.len()])
    }

    /// Every `strides`-th element from `starts` up to, not including, `limits`.
    #[track_caller]
    pub fn slice_strided(self, starts: &[usize], limits: &[usize], strides: &[usize]) -> Tensor<'t> {
        let shape = self.shape();
        let everything = starts.iter().all(|&start| start == 0) && strides.iter().all(|&stride| stride == 1);
        if everything && limits == shape.dims() && starts.len() == limits.len() && strides.len() == limits.len() {
            return self;
        }
        let [starts, limits, strides] = [starts, limits, strides].map(<[usize]>::to_vec);
        self.apply(Slice { starts, limits, strides }, [self])
    }

    /// The elements `start..limit` along one dim (negative: counted from the end).
    #[track_caller]
    pub fn slice_dim(self, dim: isize, start: usize, limit: usize) -> Tensor<'t> {
        let dim = self.dim_index(dim);
        let mut limits = self.shape().to_vec();
        let mut starts = vec![0; limits.len()];
        (starts[dim], limits[dim]) = (start, limit);
        self.slice(&starts, &limits)
    }

    /// Cut along a dim into parts of these sizes, which fill it.
    #[track_caller]
    pub fn split(self, dim: isize, sizes: &[usize]) -> Vec<Tensor<'t>> {
        if sizes.iter().sum::<usize>() != self.dim(dim) {
            self.trace().fail("split", format!("sizes {sizes:?} do not fill dim {dim} of {}", self.ty()));
        }
        let mut start = 0;
        let mut parts = Vec::with_capacity(sizes.len());
        for size in sizes {
            parts.push(self.slice_dim(dim, start, start + size));
            start += size;
        }
        parts
    }

    /// With `value` put around and between the elements: `(low, high, interior)` of each dim says how often before
    /// the first, after the last and between neighbours. Negative `low` and `high` cut off instead.
    #[track_caller]
    pub fn pad(self, value: f64, dims: &[(i64, i64, i64)]) -> Tensor<'t> {
        let nothing = dims.len() == self.rank() && dims.iter().all(|&dim| dim == (0, 0, 0));
        if nothing { self } else { self.apply(Pad { value, dims: dims.to_vec() }, [self]) }
    }

    /// In reverse order along dims.
    #[track_caller]
    pub fn reverse(self, dims: &[isize]) -> Tensor<'t> {
        let dims = self.dim_indices(dims);
        if dims.is_empty() { self } else { self.apply(Reverse { dims }, [self]) }
    }

    /// The block of `sizes` at `starts`, one scalar i32 or u32 for each dim. Starts are moved so that it lies inside.
    #[track_caller]
    pub fn dynamic_slice(self, starts: &[Tensor<'t>], sizes: &[usize]) -> Tensor<'t> {
        let op = DynamicSlice { sizes: sizes.into() };
        self.trace().record(Arc::new(op), &[&[self], starts].concat())[0]
    }

    /// With the block at `starts` replaced by `update`; starts as in [`Tensor::dynamic_slice`].
    #[track_caller]
    pub fn dynamic_update_slice(self, update: Tensor<'t>, starts: &[Tensor<'t>]) -> Tensor<'t> {
        self.trace().record(Arc::new(DynamicUpdateSlice), &[&[self, update], starts].concat())[0]
    }

    /// Rows, as from a table of embeddings: `[n, d..]` at `[i..]` gives `[i.., d..]`. Indices are i32 or u32 of any
    /// shape; those out of range mean the first or the last row.
    #[track_caller]
    pub fn take(self, indices: Tensor<'t>) -> Tensor<'t> {
        self.apply(Gather { indexing: Indexing::Rows }, [self, indices])
    }

    /// With `updates` (`[i.., d..]`) added to the rows at `indices` (`[i..]`); the adjoint of [`Tensor::take`].
    #[track_caller]
    pub fn scatter_add(self, indices: Tensor<'t>, updates: Tensor<'t>) -> Tensor<'t> {
        self.apply(ScatterAdd { indexing: Indexing::Rows }, [self, indices, updates])
    }

    /// One element for each index along a dim (negative: counted from the end), as `numpy.take_along_axis`: the
    /// indices, i32 or u32, have the same dims otherwise. Those out of range mean the first or the last element.
    #[track_caller]
    pub fn take_along(self, dim: isize, indices: Tensor<'t>) -> Tensor<'t> {
        self.apply(Gather { indexing: Indexing::Along(self.dim_index(dim)) }, [self, indices])
    }

    /// With `updates`, shaped like `indices`, added where the indices point along a dim; the adjoint of
    /// [`Tensor::take_along`].
    #[track_caller]
    pub fn scatter_add_along(self, dim: isize, indices: Tensor<'t>, updates: Tensor<'t>) -> Tensor<'t> {
        self.apply(ScatterAdd { indexing: Indexing::Along(self.dim_index(dim)) }, [self, indices, updates])
    }
}

/// The tensors one after the other along a dim (negative: counted from the end); all other dims are equal.
#[track_caller]
pub fn concatenate<'t>(tensors: &[Tensor<'t>], dim: isize) -> Tensor<'t> {
    let first = first_of(tensors, "concatenate");
    let dim = first.dim_index(dim);
    if tensors.len() == 1 { first } else { first.trace().record(Arc::new(Concatenate { dim }), tensors)[0] }
}

/// Tensors of equal shape side by side along a new dim (negative: counted from the end of the result).
#[track_caller]
pub fn stack<'t>(tensors: &[Tensor<'t>], dim: isize) -> Tensor<'t> {
    first_of(tensors, "stack");
    let expanded: Vec<Tensor<'t>> = tensors.iter().map(|tensor| tensor.expand_dims(dim)).collect();
    concatenate(&expanded, dim)
}

#[track_caller]
fn first_of<'t>(tensors: &[Tensor<'t>], operation: &str) -> Tensor<'t> {
    if let Some(&first) = tensors.first() {
        return first;
    }
    // Without a tensor there is no trace to ask for the scope; the error unwinds to the border all the same.
    resume_unwind(Box::new(TraceError {
        kind: TypeError::Arity { expected: 1, found: 0 }.into(),
        operation: operation.to_owned(),
        operands: Vec::new(),
        location: show_location(Location::caller()),
        scope: String::new(),
    }))
}
