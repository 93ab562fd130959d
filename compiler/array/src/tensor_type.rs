//! The type of a tensor: element type and shape.

use std::fmt;

use crate::{DType, Shape};

/// Element type and shape of a tensor. As a tree leaf it is the specification of a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// Element type.
    pub dtype: DType,
    /// Dims, outermost first.
    pub shape: Shape,
}

impl TensorType {
    /// A type from its parts.
    pub fn new(dtype: DType, shape: impl Into<Shape>) -> Self {
        TensorType { dtype, shape: shape.into() }
    }

    /// An f32 tensor.
    pub fn f32(shape: impl Into<Shape>) -> Self {
        Self::new(DType::F32, shape)
    }

    /// A scalar of the given element type.
    pub fn scalar(dtype: DType) -> Self {
        Self::new(dtype, Shape::scalar())
    }

    /// Bytes of such a tensor on the host.
    pub fn bytes(&self) -> usize {
        self.shape.elements() * self.dtype.size()
    }

    /// The same shape with another element type.
    pub fn with_dtype(&self, dtype: DType) -> Self {
        TensorType { dtype, shape: self.shape.clone() }
    }

    /// The same element type with another shape.
    pub fn with_shape(&self, shape: impl Into<Shape>) -> Self {
        TensorType { dtype: self.dtype, shape: shape.into() }
    }

    /// The type in MLIR text: `tensor<2x3xf32>`.
    pub fn mlir(&self) -> String {
        let dims: String = self.shape.iter().map(|dim| format!("{dim}x")).collect();
        format!("tensor<{dims}{}>", self.dtype.mlir())
    }
}

impl fmt::Display for TensorType {
    /// `f32[2, 3]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}
