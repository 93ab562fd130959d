//! Order: sorting, the largest elements and where they are.

use std::sync::Arc;

use twinflow_array::DType;

use crate::{ops::sort::Sort, trace::Tensor};

impl<'t> Tensor<'t> {
    #[track_caller]
    fn sorted(self, dim: usize, descending: bool) -> (Tensor<'t>, Tensor<'t>) {
        let results = self.trace().record(Arc::new(Sort { dim, descending }), &[self]);
        (results[0], results[1])
    }

    /// The elements along a dim (negative: counted from the end), smallest first.
    #[track_caller]
    pub fn sort(self, dim: isize) -> Tensor<'t> {
        self.sorted(self.dim_index(dim), false).0
    }

    /// Where the elements of [`Tensor::sort`] come from, i32; of equal elements the first comes first.
    #[track_caller]
    pub fn argsort(self, dim: isize) -> Tensor<'t> {
        self.sorted(self.dim_index(dim), false).1
    }

    /// The k largest elements along the last dim, largest first, and their places (i32): `[.., n]` gives `[.., k]` both.
    #[track_caller]
    pub fn top_k(self, k: usize) -> (Tensor<'t>, Tensor<'t>) {
        let last = self.dim_index(-1);
        let size = self.shape()[last];
        if k > size {
            self.trace().fail("top_k", format!("there are no {k} largest elements of {size} in {}", self.ty()));
        }
        let (values, places) = self.sorted(last, true);
        (values.slice_dim(-1, 0, k), places.slice_dim(-1, 0, k))
    }

    /// The place (i32) of the largest element along a dim (negative: counted from the end), the first of several. Where
    /// there is NaN it is any place, but one inside.
    #[track_caller]
    pub fn argmax(self, dim: isize) -> Tensor<'t> {
        let index = self.dim_index(dim);
        let largest = self.eq(self.max_keep(&[dim]));
        let places = self.trace().iota(self.ty().with_dtype(DType::I32), index);
        let last = self.shape()[index].saturating_sub(1);
        largest.select(places, last as f64).min(&[dim])
    }
}
