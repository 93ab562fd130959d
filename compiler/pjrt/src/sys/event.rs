//! Errors, plugin set-up and events.

use std::ffi::{c_char, c_int, c_void};

use super::{Error, Event, Extension, NamedValue, args};

/// `PJRT_Error_Destroy_Args`.
#[repr(C)]
pub struct ErrorDestroy {
    pub struct_size: usize,
    pub extension_start: *mut Extension,
    pub error: *mut Error,
}

/// `PJRT_Error_Message_Args`.
#[repr(C)]
pub struct ErrorMessage {
    pub struct_size: usize,
    pub extension_start: *mut Extension,
    pub error: *const Error,
    pub message: *const c_char,
    pub message_size: usize,
}

/// `PJRT_Event_OnReadyCallback`: owns `error`.
pub type OnReadyCallback = unsafe extern "C" fn(error: *mut Error, user_arg: *mut c_void);

args! {
    Error_GetCode { error: *const Error, code: c_int }
    Plugin_Initialize {}
    Plugin_Attributes { attributes: *const NamedValue, num_attributes: usize }
    Event_Destroy { event: *mut Event }
    Event_IsReady { event: *mut Event, is_ready: bool }
    Event_Await { event: *mut Event }
    Event_OnReady { event: *mut Event, callback: Option<OnReadyCallback>, user_arg: *mut c_void }
}
