//! Declarations of the PJRT C API (header 0.90) for the functions that this crate calls. Names are the header's without
//! `PJRT_` and `_Args`.
#![allow(missing_docs, non_camel_case_types, reason = "a transcript of the C header, which documents it")]

mod api;
mod buffer;
mod client;
mod device;
mod event;
mod executable;
#[cfg(test)]
mod layout;
mod named_value;
mod topology;

pub use api::*;
pub use buffer::*;
pub use client::*;
pub use device::*;
pub use event::*;
pub use executable::*;
pub use named_value::*;
pub use topology::*;

/// Objects that the plugin owns, seen only by pointer.
macro_rules! opaque {
    ($($name:ident),*) => {$(
        #[repr(C)]
        pub struct $name {
            opaque: [u8; 0],
        }
    )*};
}
opaque!(
    Error,
    Extension,
    Event,
    Client,
    Device,
    DeviceDescription,
    Memory,
    Buffer,
    Executable,
    LoadedExecutable,
    SerializedExecutable,
    TopologyDescription,
    ExecuteContext
);

/// The args struct of one function of the table.
///
/// # Safety
/// The type is `repr(C)`, begins with `struct_size: usize`, is valid when all its bytes are zero, and is what the
/// function at `FIELD` takes.
pub unsafe trait Args: Sized {
    /// The function's name in the header.
    const FUNCTION: &'static str;
    /// Offset of the function's pointer in [`Api`].
    const FIELD: usize;
}

/// `Function { field: type, .. }` declares the args struct `PJRT_Function_Args` and ties it to its table entry.
macro_rules! args {
    ($($function:ident { $($field:ident: $ty:ty),* $(,)? })*) => {$(
        #[repr(C)]
        pub struct $function {
            pub struct_size: usize,
            pub extension_start: *mut $crate::sys::Extension,
            $(pub $field: $ty,)*
        }

        // SAFETY: repr(C) with the size first; all fields are numbers, raw pointers and optional function pointers, so
        // zero bytes are a value; name and table entry come from the same identifier.
        unsafe impl $crate::sys::Args for $function {
            const FUNCTION: &'static str = concat!("PJRT_", stringify!($function));
            const FIELD: usize = std::mem::offset_of!($crate::sys::Api, $function);
        }

        #[cfg(test)]
        impl $crate::sys::layout::Layout for $function {
            const NAME: &'static str = concat!("PJRT_", stringify!($function), "_Args");
            const FIELDS: &'static [(&'static str, usize)] =
                &[$((stringify!($field), std::mem::offset_of!($function, $field)),)*];
        }
    )*};
}
use args;
