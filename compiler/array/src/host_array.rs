//! Arrays in host memory.

use std::{fmt, sync::Arc};

use bytemuck::{Pod, Zeroable};
use half::{bf16, f16};
use ndarray::{ArrayD, ArrayViewD, IxDyn};

use crate::{DType, Element, Layout, ParamPath, Shape, TensorType};

/// 64 bytes on a 64-byte border: PJRT takes host memory without a copy only from such borders.
#[derive(Clone, Copy, Zeroable, Pod)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A dense row-major array of any [`DType`] in 64-byte-aligned host memory. Clones share the memory until written.
#[derive(Clone)]
pub struct HostArray {
    ty: TensorType,
    lines: Arc<Vec<Line>>,
}

/// Data that do not fit what they are meant for.
#[allow(missing_docs, reason = "fields are facts of the message above them")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArrayError {
    /// The number of elements differs from the shape's.
    #[error("{elements} elements do not fill {ty}, which holds {}", ty.shape.elements())]
    Length {
        ty: TensorType,
        /// Elements given.
        elements: usize,
    },
    /// The array holds another element type.
    #[error("the array holds {actual}, not {expected}")]
    DType { expected: DType, actual: DType },
    /// Too few or too many dims for a layout.
    #[error("{ty} is not {layout}")]
    Layout { layout: Layout, ty: TensorType },
    /// A leaf that other programs cannot hold as its place says.
    #[error("'{path}' is {ty}: {rule}")]
    Place {
        path: ParamPath,
        /// Its type.
        ty: TensorType,
        /// What does not hold.
        rule: String,
    },
    /// A pattern of [`ParamRules`](crate::ParamRules) that can match nothing.
    #[error("pattern '{pattern}' has an empty segment (segments stand between '/', as in blocks/*/bias)")]
    Pattern {
        /// As it was given.
        pattern: String,
    },
}

impl HostArray {
    /// An array of zeros.
    pub fn zeros(ty: TensorType) -> Self {
        let lines = vec![Line([0; 64]); ty.bytes().div_ceil(64)];
        HostArray { ty, lines: Arc::new(lines) }
    }

    /// An array with the given elements, row-major.
    ///
    /// # Errors
    /// [`ArrayError::Length`] if they do not fill the shape.
    pub fn from_slice<T: Element>(shape: impl Into<Shape>, elements: &[T]) -> Result<Self, ArrayError> {
        Self::from_bytes(TensorType::new(T::DTYPE, shape), bytemuck::cast_slice(elements))
    }

    /// An array with the given bytes (native byte order, row-major).
    ///
    /// # Errors
    /// [`ArrayError::Length`] if they do not fill the type.
    pub fn from_bytes(ty: TensorType, bytes: &[u8]) -> Result<Self, ArrayError> {
        if bytes.len() != ty.bytes() {
            return Err(ArrayError::Length { elements: bytes.len() / ty.dtype.size(), ty });
        }
        let mut array = Self::zeros(ty);
        array.bytes_mut().copy_from_slice(bytes);
        Ok(array)
    }

    /// An array with one element.
    pub fn scalar<T: Element>(value: T) -> Self {
        let mut array = Self::zeros(TensorType::scalar(T::DTYPE));
        array.bytes_mut().copy_from_slice(bytemuck::bytes_of(&value));
        array
    }

    /// An array of any element type from `f64` values (rounded; integers saturate).
    ///
    /// # Errors
    /// [`ArrayError::Length`] if they do not fill the type.
    pub fn from_f64(ty: TensorType, values: &[f64]) -> Result<Self, ArrayError> {
        if values.len() != ty.shape.elements() {
            return Err(ArrayError::Length { elements: values.len(), ty });
        }
        let mut array = Self::zeros(ty);
        match array.ty.dtype {
            DType::Bool => array.bytes_mut().iter_mut().zip(values).for_each(|(out, v)| *out = (*v != 0.0).into()),
            DType::U8 => array.fill_from::<u8>(values),
            DType::I32 => array.fill_from::<i32>(values),
            DType::I64 => array.fill_from::<i64>(values),
            DType::U32 => array.fill_from::<u32>(values),
            DType::U64 => array.fill_from::<u64>(values),
            DType::F16 => array.fill_from::<f16>(values),
            DType::BF16 => array.fill_from::<bf16>(values),
            DType::F32 => array.fill_from::<f32>(values),
            DType::F64 => array.fill_from::<f64>(values),
        }
        Ok(array)
    }

    fn fill_from<T: Element>(&mut self, values: &[f64]) {
        let out: &mut [T] = bytemuck::cast_slice_mut(self.bytes_mut());
        out.iter_mut().zip(values).for_each(|(out, value)| *out = T::from_f64(*value));
    }

    /// Element type and shape.
    pub fn ty(&self) -> &TensorType {
        &self.ty
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.ty.dtype
    }

    /// The dims.
    pub fn shape(&self) -> &Shape {
        &self.ty.shape
    }

    /// The elements' bytes, in native byte order, on a 64-byte border.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(self.lines.as_slice())[..self.ty.bytes()]
    }

    /// The elements' bytes for writing; memory shared with clones is copied first.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let bytes = self.ty.bytes();
        &mut bytemuck::cast_slice_mut(Arc::make_mut(&mut self.lines).as_mut_slice())[..bytes]
    }

    /// The elements.
    ///
    /// # Errors
    /// [`ArrayError::DType`] if the array holds another type.
    pub fn as_slice<T: Element>(&self) -> Result<&[T], ArrayError> {
        self.expect_dtype(T::DTYPE)?;
        Ok(bytemuck::cast_slice(self.bytes()))
    }

    /// The elements for writing.
    ///
    /// # Errors
    /// [`ArrayError::DType`] if the array holds another type.
    pub fn as_mut_slice<T: Element>(&mut self) -> Result<&mut [T], ArrayError> {
        self.expect_dtype(T::DTYPE)?;
        Ok(bytemuck::cast_slice_mut(self.bytes_mut()))
    }

    /// A view with ndarray's methods.
    ///
    /// # Errors
    /// [`ArrayError::DType`] if the array holds another type.
    pub fn view<T: Element>(&self) -> Result<ArrayViewD<'_, T>, ArrayError> {
        let view = ArrayViewD::from_shape(IxDyn(self.shape()), self.as_slice()?);
        Ok(view.expect("the slice fills the shape"))
    }

    /// All elements as `f64`, whatever the element type.
    pub fn to_f64(&self) -> Vec<f64> {
        fn widen<T: Element>(bytes: &[u8]) -> Vec<f64> {
            bytemuck::cast_slice::<u8, T>(bytes).iter().map(|value| value.to_f64()).collect()
        }
        match self.ty.dtype {
            DType::Bool | DType::U8 => widen::<u8>(self.bytes()),
            DType::I32 => widen::<i32>(self.bytes()),
            DType::I64 => widen::<i64>(self.bytes()),
            DType::U32 => widen::<u32>(self.bytes()),
            DType::U64 => widen::<u64>(self.bytes()),
            DType::F16 => widen::<f16>(self.bytes()),
            DType::BF16 => widen::<bf16>(self.bytes()),
            DType::F32 => widen::<f32>(self.bytes()),
            DType::F64 => widen::<f64>(self.bytes()),
        }
    }

    /// All elements as `f64` in an ndarray.
    pub fn to_f64_array(&self) -> ArrayD<f64> {
        ArrayD::from_shape_vec(IxDyn(self.shape()), self.to_f64()).expect("the elements fill the shape")
    }

    /// The same values in another element type (rounded; integers saturate).
    pub fn convert(&self, dtype: DType) -> HostArray {
        if dtype == self.ty.dtype {
            return self.clone();
        }
        Self::from_f64(self.ty.with_dtype(dtype), &self.to_f64()).expect("the shape stays")
    }

    /// The same elements in another shape.
    ///
    /// # Errors
    /// [`ArrayError::Length`] if the shape holds another number of elements.
    pub fn reshape(mut self, shape: impl Into<Shape>) -> Result<HostArray, ArrayError> {
        let ty = self.ty.with_shape(shape);
        if ty.shape.elements() != self.ty.shape.elements() {
            return Err(ArrayError::Length { elements: self.ty.shape.elements(), ty });
        }
        self.ty = ty;
        Ok(self)
    }

    fn expect_dtype(&self, expected: DType) -> Result<(), ArrayError> {
        if self.ty.dtype == expected { Ok(()) } else { Err(ArrayError::DType { expected, actual: self.ty.dtype }) }
    }
}

impl PartialEq for HostArray {
    /// Equal types and equal bytes (so NaN equals itself and -0 differs from 0).
    fn eq(&self, other: &Self) -> bool {
        self.ty == other.ty && self.bytes() == other.bytes()
    }
}

impl fmt::Debug for HostArray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.to_f64();
        let shown = &values[..values.len().min(16)];
        let more = if shown.len() < values.len() { ", .." } else { "" };
        write!(f, "{} {shown:?}{more}", self.ty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn memory_is_aligned_and_clones_are_independent() {
        let original = HostArray::from_slice([3], &[1.0f32, 2.0, 3.0]).unwrap();
        assert_eq!(original.bytes().as_ptr() as usize % 64, 0);
        let mut copy = original.clone();
        copy.as_mut_slice::<f32>().unwrap()[0] = 9.0;
        assert_eq!(original.as_slice::<f32>().unwrap(), [1.0, 2.0, 3.0]);
        assert_eq!(copy.as_slice::<f32>().unwrap(), [9.0, 2.0, 3.0]);
    }

    #[test]
    fn wrong_lengths_and_types_are_errors() {
        let error = HostArray::from_slice([2, 2], &[1u8]).unwrap_err();
        assert_eq!(error.to_string(), "1 elements do not fill u8[2, 2], which holds 4");
        let error = HostArray::scalar(1u8).as_slice::<f32>().unwrap_err();
        assert_eq!(error.to_string(), "the array holds u8, not f32");
    }

    proptest! {
        #[test]
        fn small_integers_survive_every_dtype(values in prop::collection::vec(0u8..2, 1..9)) {
            let array = HostArray::from_slice([values.len()], &values).unwrap();
            for dtype in DType::ALL {
                prop_assert_eq!(&array.convert(dtype).convert(DType::U8), &array);
            }
        }
    }
}
