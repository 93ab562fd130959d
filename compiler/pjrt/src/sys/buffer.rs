//! Buffers and transfers.

use std::ffi::{c_int, c_void};

use super::{Buffer, Client, Device, Event, Memory, args};

/// `PJRT_Buffer_Type`.
pub type BufferType = c_int;
pub const PRED: BufferType = 1;
pub const S32: BufferType = 4;
pub const S64: BufferType = 5;
pub const U8: BufferType = 6;
pub const U32: BufferType = 8;
pub const U64: BufferType = 9;
pub const F16: BufferType = 10;
pub const F32: BufferType = 11;
pub const F64: BufferType = 12;
pub const BF16: BufferType = 13;

/// `PJRT_HostBufferSemantics`.
pub type HostBufferSemantics = c_int;
pub const IMMUTABLE_UNTIL_TRANSFER_COMPLETES: HostBufferSemantics = 1;
pub const IMMUTABLE_ZERO_COPY: HostBufferSemantics = 2;

args! {
    Client_BufferFromHostBuffer {
        client: *mut Client,
        data: *const c_void,
        r#type: BufferType,
        dims: *const i64,
        num_dims: usize,
        byte_strides: *const i64,
        num_byte_strides: usize,
        host_buffer_semantics: HostBufferSemantics,
        device: *mut Device,
        memory: *mut Memory,
        device_layout: *mut c_void,
        done_with_host_buffer: *mut Event,
        buffer: *mut Buffer,
    }
    Buffer_Destroy { buffer: *mut Buffer }
    Buffer_ElementType { buffer: *mut Buffer, r#type: BufferType }
    Buffer_Dimensions { buffer: *mut Buffer, dims: *const i64, num_dims: usize }
    Buffer_OnDeviceSizeInBytes { buffer: *mut Buffer, on_device_size_in_bytes: usize }
    Buffer_CopyToDevice { buffer: *mut Buffer, dst_device: *mut Device, dst_buffer: *mut Buffer }
    Buffer_ToHostBuffer {
        src: *mut Buffer,
        host_layout: *mut c_void,
        dst: *mut c_void,
        dst_size: usize,
        event: *mut Event,
    }
    Buffer_IsOnCpu { buffer: *mut Buffer, is_on_cpu: bool }
    Buffer_ReadyEvent { buffer: *mut Buffer, event: *mut Event }
    Buffer_UnsafePointer { buffer: *mut Buffer, buffer_pointer: usize }
}
