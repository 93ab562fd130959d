//! Reductions over dims, and what is made of them.

use twinflow_array::Shape;

use crate::{
    ops::{
        cumulative::CumulativeSum,
        reduce::{ReduceMax, ReduceMin, ReduceSum},
    },
    trace::Tensor,
};

impl<'t> Tensor<'t> {
    #[track_caller]
    pub(crate) fn reduce_sum(self, dims: &[usize]) -> Tensor<'t> {
        if dims.is_empty() { self } else { self.apply(ReduceSum { dims: dims.to_vec() }, [self]) }
    }

    /// The sum over dims.
    #[track_caller]
    pub fn sum(self, dims: &[isize]) -> Tensor<'t> {
        self.reduce_sum(&self.dim_indices(dims))
    }

    /// The running sum along a dim: element i is the sum of those up to i.
    #[track_caller]
    pub fn cumsum(self, dim: isize) -> Tensor<'t> {
        self.apply(CumulativeSum { dim: self.dim_index(dim), reverse: false }, [self])
    }

    /// The mean over dims.
    #[track_caller]
    pub fn mean(self, dims: &[isize]) -> Tensor<'t> {
        let count: usize = self.dim_indices(dims).iter().map(|&dim| self.shape()[dim]).product();
        self.sum(dims) * (1.0 / count as f64)
    }

    /// The largest element over dims.
    #[track_caller]
    pub fn max(self, dims: &[isize]) -> Tensor<'t> {
        self.apply(ReduceMax { dims: self.dim_indices(dims) }, [self])
    }

    /// The smallest element over dims.
    #[track_caller]
    pub fn min(self, dims: &[isize]) -> Tensor<'t> {
        self.apply(ReduceMin { dims: self.dim_indices(dims) }, [self])
    }

    /// A reduction's result with the reduced dims kept at size 1.
    #[track_caller]
    fn keep(self, reduced: Tensor<'t>, dims: &[isize]) -> Tensor<'t> {
        let indices = self.dim_indices(dims);
        let shape = self.shape();
        let kept = shape.iter().enumerate().map(|(i, &size)| if indices.contains(&i) { 1 } else { size });
        reduced.reshape(kept.collect::<Shape>())
    }

    /// The sum over dims, which stay with size 1.
    #[track_caller]
    pub fn sum_keep(self, dims: &[isize]) -> Tensor<'t> {
        self.keep(self.sum(dims), dims)
    }

    /// The mean over dims, which stay with size 1.
    #[track_caller]
    pub fn mean_keep(self, dims: &[isize]) -> Tensor<'t> {
        self.keep(self.mean(dims), dims)
    }

    /// The largest element over dims, which stay with size 1.
    #[track_caller]
    pub fn max_keep(self, dims: &[isize]) -> Tensor<'t> {
        self.keep(self.max(dims), dims)
    }

    /// The sum of all elements, a scalar.
    #[track_caller]
    pub fn sum_all(self) -> Tensor<'t> {
        self.reduce_sum(&(0..self.rank()).collect::<Vec<_>>())
    }

    /// The mean of all elements, a scalar.
    #[track_caller]
    pub fn mean_all(self) -> Tensor<'t> {
        self.sum_all() * (1.0 / self.shape().elements() as f64)
    }

    /// `e^x / sum e^x` along a dim, without overflow.
    #[track_caller]
    pub fn softmax(self, dim: isize) -> Tensor<'t> {
        let exp = (self - self.max_keep(&[dim]).stop_gradient()).exp();
        exp / exp.sum_keep(&[dim])
    }

    /// `ln sum e^x` over a dim, without overflow.
    #[track_caller]
    pub fn logsumexp(self, dim: isize) -> Tensor<'t> {
        let max = self.max_keep(&[dim]).stop_gradient();
        (self - max).exp().sum(&[dim]).log() + max.squeeze(dim)
    }

    /// `x - ln sum e^x` along a dim.
    #[track_caller]
    pub fn log_softmax(self, dim: isize) -> Tensor<'t> {
        self - self.logsumexp(dim).expand_dims(dim)
    }
}
