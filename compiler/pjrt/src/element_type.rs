//! Element types on both sides of the border.

use twinflow_array::DType;

use crate::{PjrtError, sys};

/// The C header's number of an element type.
pub(crate) fn to_raw(dtype: DType) -> sys::BufferType {
    match dtype {
        DType::Bool => sys::PRED,
        DType::U8 => sys::U8,
        DType::I32 => sys::S32,
        DType::I64 => sys::S64,
        DType::U32 => sys::U32,
        DType::U64 => sys::U64,
        DType::F16 => sys::F16,
        DType::BF16 => sys::BF16,
        DType::F32 => sys::F32,
        DType::F64 => sys::F64,
    }
}

/// The element type of the C header's number.
pub(crate) fn from_raw(raw: sys::BufferType) -> Result<DType, PjrtError> {
    DType::ALL.into_iter().find(|dtype| to_raw(*dtype) == raw).ok_or(PjrtError::ElementType { code: raw })
}
