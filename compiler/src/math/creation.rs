//! Tensors from nothing.

use twinflow_array::{DType, HostArray, TensorType};

use crate::{
    ops::{constant::Constant, iota::Iota},
    primitive::fixed,
    trace::{Tensor, Trace},
};

impl Trace {
    /// A value that is known while tracing.
    #[track_caller]
    pub fn constant(&self, value: HostArray) -> Tensor<'_> {
        self.record(fixed(Constant { value }), &[])[0]
    }

    /// A scalar, rounded to its type.
    #[track_caller]
    pub fn scalar(&self, dtype: DType, value: f64) -> Tensor<'_> {
        let ty = TensorType::scalar(dtype);
        self.constant(HostArray::from_f64(ty, &[value]).expect("one value fills a scalar"))
    }

    /// A tensor filled with one value.
    #[track_caller]
    pub fn full(&self, ty: TensorType, value: f64) -> Tensor<'_> {
        self.scalar(ty.dtype, value).broadcast_to(ty.shape)
    }

    /// `0, 1, 2, ...` along `dim`, repeated along the others.
    #[track_caller]
    pub fn iota(&self, ty: TensorType, dim: usize) -> Tensor<'_> {
        self.record(fixed(Iota { ty, dim }), &[])[0]
    }
}
