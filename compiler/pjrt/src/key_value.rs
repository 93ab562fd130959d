//! The key-value store over which the clients of a multi-process job find each other.

use std::{
    alloc::Layout,
    ffi::{c_char, c_int, c_void},
    ptr,
    sync::Arc,
    time::Duration,
};

use crate::{ErrorCode, sys};

/// A store shared by all processes of a job. Called from the plugin's threads.
pub trait KeyValueStore: Send + Sync {
    /// The value of a key; waits until some process has put it.
    ///
    /// # Errors
    /// [`ErrorCode::DeadlineExceeded`] after `timeout`, or what the store meets.
    fn get(&self, key: &[u8], timeout: Duration) -> Result<Vec<u8>, KeyValueError>;

    /// The value of a key if it is there.
    ///
    /// # Errors
    /// What the store meets.
    fn try_get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KeyValueError>;

    /// Sets the value of a key.
    ///
    /// # Errors
    /// What the store meets.
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), KeyValueError>;
}

/// Why a store failed, told to the plugin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key-value store ({code}): {message}")]
pub struct KeyValueError {
    /// The kind of error.
    pub code: ErrorCode,
    /// What happened.
    pub message: String,
}

/// The store as the callbacks' `user_arg` sees it.
pub(crate) type SharedStore = Arc<dyn KeyValueStore>;

unsafe extern "C" {
    // The deleter gets a bare pointer without its size, which Rust's allocator would need and C's does not.
    fn malloc(size: usize) -> *mut c_void;
    fn free(memory: *mut c_void);
}

/// Points the create call at a store, which must stay where it is while the client lives.
pub(crate) fn set_callbacks(args: &mut sys::Client_Create, store: &SharedStore) {
    let user_arg = ptr::from_ref(store).cast_mut().cast::<c_void>();
    args.kv_get_callback = Some(get);
    args.kv_get_user_arg = user_arg;
    args.kv_put_callback = Some(put);
    args.kv_put_user_arg = user_arg;
    args.kv_try_get_callback = Some(try_get);
    args.kv_try_get_user_arg = user_arg;
}

unsafe extern "C" fn get(args: *mut sys::KeyValueGet) -> *mut sys::Error {
    // SAFETY: the plugin passes live args; `user_arg` is the store that `set_callbacks` gave.
    unsafe {
        let args = &mut *args;
        let timeout = Duration::from_millis(args.timeout_in_ms.max(0) as u64);
        match store(args.user_arg).get(bytes(args.key, args.key_size), timeout) {
            Ok(value) => {
                (args.value, args.value_size) = to_c(&value);
                args.value_deleter_callback = Some(delete_value);
                ptr::null_mut()
            }
            Err(error) => report(args.callback_error, &error),
        }
    }
}

unsafe extern "C" fn try_get(args: *mut sys::KeyValueTryGet) -> *mut sys::Error {
    // SAFETY: the plugin passes live args; `user_arg` is the store that `set_callbacks` gave.
    unsafe {
        let args = &mut *args;
        let key = bytes(args.key, args.key_size);
        let found = store(args.user_arg).try_get(key).and_then(|value| {
            let message = || format!("no key '{}'", String::from_utf8_lossy(key));
            value.ok_or_else(|| KeyValueError { code: ErrorCode::NotFound, message: message() })
        });
        match found {
            Ok(value) => {
                (args.value, args.value_size) = to_c(&value);
                args.value_deleter_callback = Some(delete_value);
                ptr::null_mut()
            }
            Err(error) => report(args.callback_error, &error),
        }
    }
}

unsafe extern "C" fn put(args: *mut sys::KeyValuePut) -> *mut sys::Error {
    // SAFETY: the plugin passes live args; `user_arg` is the store that `set_callbacks` gave.
    unsafe {
        let args = &*args;
        match store(args.user_arg).put(bytes(args.key, args.key_size), bytes(args.value, args.value_size)) {
            Ok(()) => ptr::null_mut(),
            Err(error) => report(args.callback_error, &error),
        }
    }
}

unsafe extern "C" fn delete_value(value: *mut c_char) {
    // SAFETY: the value came from `to_c`, that is from malloc.
    unsafe { free(value.cast()) }
}

/// # Safety
/// `user_arg` must be what [`set_callbacks`] set, with the store still alive.
unsafe fn store<'a>(user_arg: *mut c_void) -> &'a dyn KeyValueStore {
    // SAFETY: passed on to the caller.
    unsafe { (*user_arg.cast::<SharedStore>()).as_ref() }
}

/// # Safety
/// `start` must point to `size` live bytes (or `size` be 0).
unsafe fn bytes<'a>(start: *const c_char, size: usize) -> &'a [u8] {
    // SAFETY: passed on to the caller.
    unsafe { crate::option_value::list(start.cast(), size) }
}

/// A copy that [`delete_value`] frees. One byte more than the value, so that an empty value has a pointer too.
fn to_c(value: &[u8]) -> (*mut c_char, usize) {
    // SAFETY: the fresh block, once checked, has room for the value and does not overlap it.
    unsafe {
        let copy = malloc(value.len() + 1).cast::<u8>();
        if copy.is_null() {
            std::alloc::handle_alloc_error(Layout::for_value(value));
        }
        ptr::copy_nonoverlapping(value.as_ptr(), copy, value.len());
        (copy.cast(), value.len())
    }
}

/// # Safety
/// `callback_error` must be the plugin's, from the args of a callback.
unsafe fn report(callback_error: *mut sys::CallbackError, error: &KeyValueError) -> *mut sys::Error {
    // SAFETY: the plugin's function copies the message.
    unsafe { (*callback_error)(error.code as c_int, error.message.as_ptr().cast(), error.message.len()) }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, mem, sync::Mutex};

    use super::*;

    #[derive(Default)]
    struct InMemory(Mutex<HashMap<Vec<u8>, Vec<u8>>>);

    impl KeyValueStore for InMemory {
        fn get(&self, key: &[u8], timeout: Duration) -> Result<Vec<u8>, KeyValueError> {
            let message = format!("waited {timeout:?}");
            self.try_get(key)?.ok_or(KeyValueError { code: ErrorCode::DeadlineExceeded, message })
        }

        fn try_get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KeyValueError> {
            Ok(self.0.lock().unwrap().get(key).cloned())
        }

        fn put(&self, key: &[u8], value: &[u8]) -> Result<(), KeyValueError> {
            self.0.lock().unwrap().insert(key.to_vec(), value.to_vec());
            Ok(())
        }
    }

    static REPORTED: Mutex<Vec<(i32, String)>> = Mutex::new(Vec::new());

    /// Stands for the plugin's way to make an error.
    unsafe extern "C" fn record(code: c_int, message: *const c_char, size: usize) -> *mut sys::Error {
        // SAFETY: the callback passes a live text.
        REPORTED.lock().unwrap().push((code, unsafe { crate::option_value::text(message, size) }));
        ptr::dangling_mut()
    }

    #[test]
    fn a_plugin_reads_back_what_it_put() {
        let store: SharedStore = Arc::new(InMemory::default());
        let mut record: sys::CallbackError = record;
        // SAFETY: numbers, pointers and optional functions only; the args are filled as a plugin would, and live
        // through the calls.
        unsafe {
            let mut create: sys::Client_Create = mem::zeroed();
            set_callbacks(&mut create, &store);
            let (put, get, try_get) =
                (create.kv_put_callback.unwrap(), create.kv_get_callback.unwrap(), create.kv_try_get_callback.unwrap());

            let mut wanted: sys::KeyValueTryGet = mem::zeroed();
            (wanted.key, wanted.key_size) = (c"rank".as_ptr(), 4);
            (wanted.user_arg, wanted.callback_error) = (create.kv_try_get_user_arg, &mut record);
            assert!(!try_get(&mut wanted).is_null());

            let mut late: sys::KeyValueGet = mem::zeroed();
            (late.key, late.key_size, late.timeout_in_ms) = (c"rank".as_ptr(), 4, 20);
            (late.user_arg, late.callback_error) = (create.kv_get_user_arg, &mut record);
            assert!(!get(&mut late).is_null());
            let expected = [(5, "no key 'rank'".to_owned()), (4, "waited 20ms".to_owned())];
            assert_eq!(*REPORTED.lock().unwrap(), expected);

            let mut given: sys::KeyValuePut = mem::zeroed();
            (given.key, given.key_size) = (c"rank".as_ptr(), 4);
            (given.value, given.value_size) = (c"0 of 2".as_ptr(), 6);
            given.user_arg = create.kv_put_user_arg;
            assert!(put(&mut given).is_null());

            assert!(try_get(&mut wanted).is_null() && get(&mut late).is_null());
            for (value, size, delete) in [
                (wanted.value, wanted.value_size, wanted.value_deleter_callback),
                (late.value, late.value_size, late.value_deleter_callback),
            ] {
                assert_eq!(bytes(value, size), b"0 of 2");
                delete.unwrap()(value);
            }
        }
    }
}
