//! Arrays in device memory.

use std::{fmt, ptr::NonNull, sync::Arc};

use twinflow_array::{DType, HostArray, Leaf, Shape, TensorType};

use crate::{
    Device, Event, PendingHostArray, PjrtError, client::ClientHandle, element_type, option_value::list, sys, transfer,
};

/// An array in a device's memory, immutable until it is donated to an execution (then it is moved). Freed on drop,
/// after the work that uses it.
pub struct Buffer {
    client: Arc<ClientHandle>,
    raw: NonNull<sys::Buffer>,
    ty: TensorType,
    /// Whether its memory may be a [`HostArray`]'s, which others may read: XLA must never write there.
    borrows_host: bool,
}

// SAFETY: PJRT buffers may be used and freed on any thread.
unsafe impl Send for Buffer {}
// SAFETY: as above; nothing writes to a buffer while it is shared.
unsafe impl Sync for Buffer {}

impl Leaf for Buffer {}

impl Buffer {
    /// A copy of a host array on a device. Returns at once: the copy may go on in the background, on memory that is
    /// kept alive (and copied on write, should the caller change its array meanwhile).
    ///
    /// # Errors
    /// The plugin's (out of memory).
    pub fn from_host(device: &Device, array: &HostArray) -> Result<Self, PjrtError> {
        transfer::upload(device, array.clone(), sys::IMMUTABLE_UNTIL_TRANSFER_COMPLETES)
    }

    /// A host array as a buffer, without a copy where device memory is host memory (CPU), else as
    /// [`Buffer::from_host`].
    ///
    /// The memory lives as long as the buffer, and its content never changes: clones of the array that are written to
    /// get memory of their own, and XLA may not reuse it. So donating such a buffer on the CPU saves nothing: XLA then
    /// copies.
    ///
    /// # Errors
    /// The plugin's (out of memory).
    pub fn from_host_zero_copy(device: &Device, array: HostArray) -> Result<Self, PjrtError> {
        transfer::upload(device, array, sys::IMMUTABLE_ZERO_COPY)
    }

    /// Takes over a buffer that the plugin returned.
    ///
    /// # Safety
    /// `raw` must be a live buffer of `client` that nobody else frees; `borrows_host` must be true if its memory may be
    /// a host array's.
    pub(crate) unsafe fn from_raw(
        client: &Arc<ClientHandle>,
        raw: NonNull<sys::Buffer>,
        borrows_host: bool,
    ) -> Result<Self, PjrtError> {
        let mut buffer = Buffer { client: client.clone(), raw, ty: TensorType::scalar(DType::F32), borrows_host };
        // From here on a failure frees the buffer.
        buffer.ty = buffer.read_type()?;
        Ok(buffer)
    }

    fn read_type(&self) -> Result<TensorType, PjrtError> {
        let plugin = self.client.plugin;
        // SAFETY: the buffer is live, and with it the list of its dims.
        unsafe {
            let element = plugin.call::<sys::Buffer_ElementType>(|args| args.buffer = self.raw())?;
            let dims = plugin.call::<sys::Buffer_Dimensions>(|args| args.buffer = self.raw())?;
            let shape: Shape = list(dims.dims, dims.num_dims).iter().map(|dim| *dim as usize).collect();
            Ok(TensorType::new(element_type::from_raw(element.r#type)?, shape))
        }
    }

    /// Element type and shape.
    pub fn ty(&self) -> &TensorType {
        &self.ty
    }

    /// A copy on the host; waits for the work that makes the buffer and for the copy.
    ///
    /// # Errors
    /// Those of that work, and of the copy.
    pub fn to_host(&self) -> Result<HostArray, PjrtError> {
        self.copy_to_host_async()?.wait()
    }

    /// Begins a copy to the host, which goes on in the background; the buffer may be dropped or donated meanwhile.
    ///
    /// # Errors
    /// The plugin's.
    pub fn copy_to_host_async(&self) -> Result<PendingHostArray, PjrtError> {
        transfer::download(self)
    }

    /// A copy on another device of the same client.
    ///
    /// # Errors
    /// The plugin's: it is on that device already, out of memory.
    pub fn copy_to_device(&self, device: &Device) -> Result<Buffer, PjrtError> {
        let plugin = self.client.plugin;
        // SAFETY: buffer and device are live; the result is ours, in memory of its own.
        unsafe {
            let args = plugin.call::<sys::Buffer_CopyToDevice>(|args| {
                args.buffer = self.raw();
                args.dst_device = device.raw();
            })?;
            let raw = plugin.returned::<sys::Buffer_CopyToDevice, _>(args.dst_buffer)?;
            Buffer::from_raw(&self.client, raw, false)
        }
    }

    /// The event of the buffer's content being there.
    ///
    /// # Errors
    /// The plugin's.
    pub fn ready(&self) -> Result<Event, PjrtError> {
        let plugin = self.client.plugin;
        // SAFETY: the buffer is live; the event is ours.
        unsafe {
            let args = plugin.call::<sys::Buffer_ReadyEvent>(|args| args.buffer = self.raw())?;
            let null = PjrtError::NullResult { function: "PJRT_Buffer_ReadyEvent" };
            Event::from_raw(plugin, args.event).ok_or(null)
        }
    }

    /// Waits until the buffer's content is there.
    ///
    /// # Errors
    /// Those of the work that makes it.
    pub fn wait(&self) -> Result<(), PjrtError> {
        self.ready()?.wait()
    }

    /// Bytes that the buffer takes on its device (padding included).
    ///
    /// # Errors
    /// The plugin's.
    pub fn device_bytes(&self) -> Result<usize, PjrtError> {
        // SAFETY: the buffer is live.
        let args =
            unsafe { self.client.plugin.call::<sys::Buffer_OnDeviceSizeInBytes>(|args| args.buffer = self.raw())? };
        Ok(args.on_device_size_in_bytes)
    }

    /// Reads the buffer's bytes where they lie, without a copy, once its content is there (row-major, native byte
    /// order). For MPI.
    ///
    /// # Errors
    /// [`PjrtError::NotOnHost`] if its memory is not the host's; those of the work that makes the content.
    pub fn with_bytes<R>(&self, read: impl FnOnce(&[u8]) -> R) -> Result<R, PjrtError> {
        let plugin = self.client.plugin;
        // SAFETY: the buffer is live.
        let on_host = unsafe { plugin.call::<sys::Buffer_IsOnCpu>(|args| args.buffer = self.raw())? }.is_on_cpu;
        if !on_host {
            return Err(PjrtError::NotOnHost { ty: self.ty.clone() });
        }
        self.wait()?;
        // SAFETY: the buffer is live.
        let pointer = unsafe { plugin.call::<sys::Buffer_UnsafePointer>(|args| args.buffer = self.raw())? };
        // SAFETY: the memory is the host's, holds the dense array (compiled programs use XLA's default row-major
        // layout), is complete, and neither freed nor written while self is borrowed: donation takes a buffer by value.
        Ok(read(unsafe { list(pointer.buffer_pointer as *const u8, self.ty.bytes()) }))
    }

    pub(crate) fn client(&self) -> &Arc<ClientHandle> {
        &self.client
    }

    pub(crate) fn raw(&self) -> *mut sys::Buffer {
        self.raw.as_ptr()
    }

    pub(crate) fn borrows_host(&self) -> bool {
        self.borrows_host
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({})", self.ty)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: the buffer is ours and used no more. An error here has nobody to hear it.
        let _ = unsafe { self.client.plugin.call::<sys::Buffer_Destroy>(|args| args.buffer = self.raw()) };
    }
}
