//! Devices and their descriptions.

use std::ffi::{c_char, c_int};

use super::{Device, DeviceDescription, NamedValue, args};

args! {
    DeviceDescription_Id { device_description: *mut DeviceDescription, id: c_int }
    DeviceDescription_ProcessIndex { device_description: *mut DeviceDescription, process_index: c_int }
    DeviceDescription_Attributes {
        device_description: *mut DeviceDescription,
        num_attributes: usize,
        attributes: *const NamedValue,
    }
    DeviceDescription_Kind {
        device_description: *mut DeviceDescription,
        device_kind: *const c_char,
        device_kind_size: usize,
    }
    DeviceDescription_DebugString {
        device_description: *mut DeviceDescription,
        debug_string: *const c_char,
        debug_string_size: usize,
    }
    Device_GetDescription { device: *mut Device, device_description: *mut DeviceDescription }
    Device_LocalHardwareId { device: *mut Device, local_hardware_id: c_int }
    Device_MemoryStats {
        device: *mut Device,
        bytes_in_use: i64,
        peak_bytes_in_use: i64,
        peak_bytes_in_use_is_set: bool,
        num_allocs: i64,
        num_allocs_is_set: bool,
        largest_alloc_size: i64,
        largest_alloc_size_is_set: bool,
        bytes_limit: i64,
        bytes_limit_is_set: bool,
        bytes_reserved: i64,
        bytes_reserved_is_set: bool,
        peak_bytes_reserved: i64,
        peak_bytes_reserved_is_set: bool,
        bytes_reservable_limit: i64,
        bytes_reservable_limit_is_set: bool,
        largest_free_block_bytes: i64,
        largest_free_block_bytes_is_set: bool,
        pool_bytes: i64,
        pool_bytes_is_set: bool,
        peak_pool_bytes: i64,
        peak_pool_bytes_is_set: bool,
    }
}
