//! Clients, the key-value callbacks, compilation.

use std::ffi::{c_char, c_int, c_void};

use super::{Client, Device, Error, Extension, LoadedExecutable, NamedValue, args};

/// `PJRT_CallbackError`: makes an error for the plugin inside a callback.
pub type CallbackError = unsafe extern "C" fn(code: c_int, message: *const c_char, message_size: usize) -> *mut Error;
/// Frees a value that a get callback returned.
pub type ValueDeleter = unsafe extern "C" fn(value: *mut c_char);

/// `PJRT_KeyValueGetCallback_Args`, made by the plugin. Older layouts are prefixes.
#[repr(C)]
pub struct KeyValueGet {
    pub struct_size: usize,
    pub extension_start: *mut Extension,
    pub key: *const c_char,
    pub key_size: usize,
    pub timeout_in_ms: c_int,
    pub callback_error: *mut CallbackError,
    pub user_arg: *mut c_void,
    pub value: *mut c_char,
    pub value_size: usize,
    pub value_deleter_callback: Option<ValueDeleter>,
}

/// `PJRT_KeyValueTryGetCallback_Args`, made by the plugin.
#[repr(C)]
pub struct KeyValueTryGet {
    pub struct_size: usize,
    pub extension_start: *mut Extension,
    pub key: *const c_char,
    pub key_size: usize,
    pub callback_error: *mut CallbackError,
    pub user_arg: *mut c_void,
    pub value: *mut c_char,
    pub value_size: usize,
    pub value_deleter_callback: Option<ValueDeleter>,
}

/// `PJRT_KeyValuePutCallback_Args`, made by the plugin.
#[repr(C)]
pub struct KeyValuePut {
    pub struct_size: usize,
    pub extension_start: *mut Extension,
    pub key: *const c_char,
    pub key_size: usize,
    pub value: *const c_char,
    pub value_size: usize,
    pub callback_error: *mut CallbackError,
    pub user_arg: *mut c_void,
}

pub type KeyValueGetCallback = unsafe extern "C" fn(*mut KeyValueGet) -> *mut Error;
pub type KeyValueTryGetCallback = unsafe extern "C" fn(*mut KeyValueTryGet) -> *mut Error;
pub type KeyValuePutCallback = unsafe extern "C" fn(*mut KeyValuePut) -> *mut Error;

/// `PJRT_Program`.
#[repr(C)]
pub struct Program {
    pub struct_size: usize,
    pub extension_start: *mut Extension,
    pub code: *mut c_char,
    pub code_size: usize,
    pub format: *const c_char,
    pub format_size: usize,
}

args! {
    Client_Create {
        create_options: *const NamedValue,
        num_options: usize,
        kv_get_callback: Option<KeyValueGetCallback>,
        kv_get_user_arg: *mut c_void,
        kv_put_callback: Option<KeyValuePutCallback>,
        kv_put_user_arg: *mut c_void,
        client: *mut Client,
        kv_try_get_callback: Option<KeyValueTryGetCallback>,
        kv_try_get_user_arg: *mut c_void,
    }
    Client_Destroy { client: *mut Client }
    Client_PlatformName { client: *mut Client, platform_name: *const c_char, platform_name_size: usize }
    Client_PlatformVersion { client: *mut Client, platform_version: *const c_char, platform_version_size: usize }
    Client_ProcessIndex { client: *mut Client, process_index: c_int }
    Client_Devices { client: *mut Client, devices: *const *mut Device, num_devices: usize }
    Client_AddressableDevices {
        client: *mut Client,
        addressable_devices: *const *mut Device,
        num_addressable_devices: usize,
    }
    Client_Compile {
        client: *mut Client,
        program: *const Program,
        compile_options: *const c_char,
        compile_options_size: usize,
        executable: *mut LoadedExecutable,
    }
}
