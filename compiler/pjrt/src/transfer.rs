//! Between host arrays and device memory.

use std::{fmt, sync::Arc};

use twinflow_array::{HostArray, Leaf};

use crate::{Buffer, Device, Event, PjrtError, Platform, client::ClientHandle, element_type, sys};

/// Makes a buffer of a host array; the plugin may use the array's memory until it says that it is done.
pub(crate) fn upload(
    device: &Device,
    array: HostArray,
    semantics: sys::HostBufferSemantics,
) -> Result<Buffer, PjrtError> {
    let client = device.client();
    let plugin = client.plugin;
    let dims: Vec<i64> = array.shape().iter().map(|dim| *dim as i64).collect();
    // SAFETY: client and device are live; the dims live through the call; the array's memory is dense and row-major (no
    // strides), stays until the plugin's event (`keep_alive`) and is not written meanwhile, for a clone of the array is
    // held and writers of a shared array copy first.
    unsafe {
        let args = plugin.call::<sys::Client_BufferFromHostBuffer>(|args| {
            args.client = client.raw();
            args.data = array.bytes().as_ptr().cast();
            args.r#type = element_type::to_raw(array.dtype());
            args.dims = dims.as_ptr();
            args.num_dims = dims.len();
            args.host_buffer_semantics = semantics;
            args.device = device.raw();
        })?;
        if let Some(done) = Event::from_raw(plugin, args.done_with_host_buffer) {
            done.keep_alive(array);
        }
        let raw = plugin.returned::<sys::Client_BufferFromHostBuffer, _>(args.buffer)?;
        // Elsewhere than on the host, zero-copy uploads are copies too.
        let borrows_host = semantics == sys::IMMUTABLE_ZERO_COPY && plugin.platform() == Platform::Cpu;
        Buffer::from_raw(client, raw, borrows_host)
    }
}

/// Begins the copy of a buffer into a fresh host array.
pub(crate) fn download(buffer: &Buffer) -> Result<PendingHostArray, PjrtError> {
    let client = buffer.client();
    let mut array = HostArray::zeros(buffer.ty().clone());
    let target = array.bytes_mut();
    let (start, size) = (target.as_mut_ptr(), target.len());
    // SAFETY: the buffer is live; the target is memory of a fresh array that nobody reads or frees before the event
    // (`PendingHostArray`).
    let copying = unsafe {
        let args = client.plugin.call::<sys::Buffer_ToHostBuffer>(|args| {
            args.src = buffer.raw();
            args.dst = start.cast();
            args.dst_size = size;
        })?;
        Event::from_raw(client.plugin, args.event)
    };
    Ok(PendingHostArray { transfer: Some((copying, array)), _client: client.clone() })
}

/// A host array that a copy in the background is filling.
pub struct PendingHostArray {
    /// The end of the copy (none if it ended at once) and its target; taken by [`PendingHostArray::wait`].
    transfer: Option<(Option<Event>, HostArray)>,
    _client: Arc<ClientHandle>,
}

impl Leaf for PendingHostArray {}

impl PendingHostArray {
    /// Whether the copy has ended, well or not.
    ///
    /// # Errors
    /// The plugin's.
    pub fn is_ready(&self) -> Result<bool, PjrtError> {
        match &self.transfer {
            Some((Some(copying), _)) => copying.is_ready(),
            _ => Ok(true),
        }
    }

    /// Waits for the copy and gives the array.
    ///
    /// # Errors
    /// Those of the work that makes the content, and of the copy.
    pub fn wait(mut self) -> Result<HostArray, PjrtError> {
        let (copying, array) = self.transfer.take().expect("only wait takes the transfer, and it takes self");
        match copying {
            // The copy has ended when wait returns, also with an error, so the array is ours again.
            Some(copying) => copying.wait().map(|()| array),
            None => Ok(array),
        }
    }
}

impl Drop for PendingHostArray {
    fn drop(&mut self) {
        if let Some((Some(copying), array)) = self.transfer.take() {
            copying.keep_alive(array);
        }
    }
}

impl fmt::Debug for PendingHostArray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.transfer {
            Some((_, array)) => write!(f, "PendingHostArray({})", array.ty()),
            None => f.write_str("PendingHostArray"),
        }
    }
}
