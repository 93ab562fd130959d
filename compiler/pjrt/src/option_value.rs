//! Named values that cross the border: options in, attributes out.

use std::{collections::BTreeMap, ffi::c_char, fmt, ptr, slice};

use crate::sys;

/// The value of an option or attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum OptionValue {
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A number (client options carry it in single precision).
    Float(f64),
    /// A text.
    String(String),
    /// Integers.
    IntList(Vec<i64>),
}

impl From<bool> for OptionValue {
    fn from(value: bool) -> Self {
        OptionValue::Bool(value)
    }
}

impl From<i64> for OptionValue {
    fn from(value: i64) -> Self {
        OptionValue::Int(value)
    }
}

impl From<f64> for OptionValue {
    fn from(value: f64) -> Self {
        OptionValue::Float(value)
    }
}

impl From<&str> for OptionValue {
    fn from(value: &str) -> Self {
        OptionValue::String(value.to_owned())
    }
}

impl fmt::Display for OptionValue {
    /// As in XLA's flags: lists are separated by commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionValue::Bool(value) => write!(f, "{value}"),
            OptionValue::Int(value) => write!(f, "{value}"),
            OptionValue::Float(value) => write!(f, "{value}"),
            OptionValue::String(value) => f.write_str(value),
            OptionValue::IntList(values) => {
                f.write_str(&values.iter().map(i64::to_string).collect::<Vec<_>>().join(","))
            }
        }
    }
}

/// The C form of named values; its pointers lead into `options`, which therefore must outlive its use.
pub(crate) fn to_named_values(options: &[(String, OptionValue)]) -> Vec<sys::NamedValue> {
    options
        .iter()
        .map(|(name, value)| {
            let (kind, value, value_size) = to_union(value);
            sys::NamedValue {
                struct_size: size_of::<sys::NamedValue>(),
                extension_start: ptr::null_mut(),
                name: name.as_ptr().cast(),
                name_size: name.len(),
                kind,
                value,
                value_size,
            }
        })
        .collect()
}

fn to_union(value: &OptionValue) -> (sys::NamedValueType, sys::NamedValueUnion, usize) {
    use sys::NamedValueUnion as Union;
    match value {
        OptionValue::Bool(value) => (sys::NAMED_BOOL, Union { bool_value: *value }, 1),
        OptionValue::Int(value) => (sys::NAMED_INT64, Union { int64_value: *value }, 1),
        OptionValue::Float(value) => (sys::NAMED_FLOAT, Union { float_value: *value as f32 }, 1),
        OptionValue::String(text) => (sys::NAMED_STRING, Union { string_value: text.as_ptr().cast() }, text.len()),
        OptionValue::IntList(list) => (sys::NAMED_INT64_LIST, Union { int64_array_value: list.as_ptr() }, list.len()),
    }
}

/// Named values that a plugin returned; those of a kind that this header does not know are left out.
///
/// # Safety
/// `values` must point to `count` live values (or `count` be 0).
pub(crate) unsafe fn read_named_values(values: *const sys::NamedValue, count: usize) -> BTreeMap<String, OptionValue> {
    // SAFETY: the caller vouches for pointer and count; each kind tells which field of the union was written, and
    // texts and lists have `value_size` elements.
    unsafe {
        list(values, count)
            .iter()
            .filter_map(|named| {
                let value = match named.kind {
                    sys::NAMED_STRING => OptionValue::String(text(named.value.string_value, named.value_size)),
                    sys::NAMED_INT64 => OptionValue::Int(named.value.int64_value),
                    sys::NAMED_INT64_LIST => {
                        OptionValue::IntList(list(named.value.int64_array_value, named.value_size).to_vec())
                    }
                    sys::NAMED_FLOAT => OptionValue::Float(named.value.float_value.into()),
                    sys::NAMED_BOOL => OptionValue::Bool(named.value.bool_value),
                    _ => return None,
                };
                Some((text(named.name, named.name_size), value))
            })
            .collect()
    }
}

/// A copy of a text of the plugin.
///
/// # Safety
/// `start` must point to `size` live bytes (or `size` be 0).
pub(crate) unsafe fn text(start: *const c_char, size: usize) -> String {
    // SAFETY: passed on to the caller.
    String::from_utf8_lossy(unsafe { list(start.cast::<u8>(), size) }).into_owned()
}

/// A C array as a slice; null is the empty one.
///
/// # Safety
/// `start` must point to `count` values that live through `'a` (or `count` be 0).
pub(crate) unsafe fn list<'a, T>(start: *const T, count: usize) -> &'a [T] {
    if count == 0 || start.is_null() {
        return &[];
    }
    // SAFETY: passed on to the caller.
    unsafe { slice::from_raw_parts(start, count) }
}
