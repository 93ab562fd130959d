//! Completion of work in the background.

use std::{ffi::c_void, mem::ManuallyDrop, ptr::NonNull};

use twinflow_array::HostArray;

use crate::{PjrtError, Plugin, sys};

/// The completion, or failure, of work that a plugin does in the background.
#[derive(Debug)]
pub struct Event {
    plugin: Plugin,
    raw: NonNull<sys::Event>,
}

// SAFETY: PJRT events may be used and freed on any thread.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    /// # Safety
    /// `raw` must be null or an event of this plugin that nobody else frees.
    pub(crate) unsafe fn from_raw(plugin: Plugin, raw: *mut sys::Event) -> Option<Self> {
        NonNull::new(raw).map(|raw| Event { plugin, raw })
    }

    /// Whether the work has ended, well or not.
    ///
    /// # Errors
    /// The plugin's, about the question itself.
    pub fn is_ready(&self) -> Result<bool, PjrtError> {
        // SAFETY: the event is live as long as self.
        Ok(unsafe { self.plugin.call::<sys::Event_IsReady>(|args| args.event = self.raw.as_ptr())? }.is_ready)
    }

    /// Waits until the work has ended.
    ///
    /// # Errors
    /// Those of the work.
    pub fn wait(&self) -> Result<(), PjrtError> {
        // SAFETY: the event is live as long as self.
        unsafe { self.plugin.call::<sys::Event_Await>(|args| args.event = self.raw.as_ptr())? };
        Ok(())
    }

    /// Calls `callback` when the work has ended: at once if it has, else on a thread of the plugin.
    ///
    /// The callback must be brief and must not own the last handle of a client: a plugin cannot shut down from one of
    /// its own threads. A panic in it ends the process.
    ///
    /// # Errors
    /// The plugin's; `callback` is then dropped without a call.
    pub fn on_ready(self, callback: impl FnOnce(Result<(), PjrtError>) + Send + 'static) -> Result<(), PjrtError> {
        let raw = self.raw.as_ptr();
        let plugin = self.plugin;
        let waiting = Box::into_raw(Box::new(Waiting { event: self, callback: Box::new(callback) }));
        // SAFETY: the event lives in `waiting`, which lives until the callback, called exactly once, takes it back.
        let registered = unsafe {
            plugin.call::<sys::Event_OnReady>(|args| {
                args.event = raw;
                args.callback = Some(ready);
                args.user_arg = waiting.cast();
            })
        };
        if let Err(error) = registered {
            // SAFETY: a refused callback is never called, so the box is still ours.
            drop(unsafe { Box::from_raw(waiting) });
            return Err(error);
        }
        Ok(())
    }

    /// Keeps an array's memory alive until the work that uses it has ended.
    pub(crate) fn keep_alive(self, array: HostArray) {
        let spare = ManuallyDrop::new(array.clone());
        if self.on_ready(move |_| drop(array)).is_ok() {
            drop(ManuallyDrop::into_inner(spare));
        }
        // Otherwise nobody can tell when the memory is free, and a leak is the only sound answer.
    }
}

/// What a registered callback owns.
struct Waiting {
    event: Event,
    callback: Box<dyn FnOnce(Result<(), PjrtError>) + Send>,
}

unsafe extern "C" fn ready(error: *mut sys::Error, user_arg: *mut c_void) {
    // SAFETY: `user_arg` is the box that `on_ready` gave away, and the plugin calls this once.
    let Waiting { event, callback } = *unsafe { Box::from_raw(user_arg.cast::<Waiting>()) };
    // SAFETY: the header hands the error to the callback to free.
    callback(unsafe { event.plugin.check("PJRT_Event_OnReady", error) });
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the event is ours and used no more. An error here has nobody to hear it.
        let _ = unsafe { self.plugin.call::<sys::Event_Destroy>(|args| args.event = self.raw.as_ptr()) };
    }
}
