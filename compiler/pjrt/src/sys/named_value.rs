//! Named values: client options in, attributes and cost analysis out.

use std::ffi::{c_char, c_int};

use super::Extension;

/// `PJRT_NamedValue_Type`.
pub type NamedValueType = c_int;
pub const NAMED_STRING: NamedValueType = 0;
pub const NAMED_INT64: NamedValueType = 1;
pub const NAMED_INT64_LIST: NamedValueType = 2;
pub const NAMED_FLOAT: NamedValueType = 3;
pub const NAMED_BOOL: NamedValueType = 4;

/// The union inside `PJRT_NamedValue`; `kind` says which field holds.
#[repr(C)]
#[derive(Clone, Copy)]
pub union NamedValueUnion {
    pub string_value: *const c_char,
    pub int64_value: i64,
    pub int64_array_value: *const i64,
    pub float_value: f32,
    pub bool_value: bool,
}

/// `PJRT_NamedValue`. Arrays of these are walked by `sizeof`, so it is never padded.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NamedValue {
    pub struct_size: usize,
    pub extension_start: *mut Extension,
    pub name: *const c_char,
    pub name_size: usize,
    pub kind: NamedValueType,
    pub value: NamedValueUnion,
    pub value_size: usize,
}
