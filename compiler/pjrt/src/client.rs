//! A connection to the devices of one platform.

use std::{fmt, ptr::NonNull, sync::Arc};

use crate::{
    ClientOptions, CompileOptions, Device, Executable, PjrtError, Plugin,
    key_value::{self, SharedStore},
    option_value::{list, text, to_named_values},
    sys,
};

/// A connection to the devices of one platform. Clones are cheap and share it; buffers and executables keep it alive.
#[derive(Clone)]
pub struct Client {
    handle: Arc<ClientHandle>,
    devices: Arc<[Device]>,
}

/// The plugin's client, shut down when the last of its clients, devices, buffers and executables is gone.
pub(crate) struct ClientHandle {
    pub(crate) plugin: Plugin,
    raw: NonNull<sys::Client>,
    /// Boxed, for the plugin holds its address; dropped after the client is shut down.
    _store: Option<Box<SharedStore>>,
}

// SAFETY: PJRT clients may be used from any thread; so may the store.
unsafe impl Send for ClientHandle {}
// SAFETY: as above.
unsafe impl Sync for ClientHandle {}

impl Client {
    /// Connects to the plugin's devices.
    ///
    /// # Errors
    /// [`PjrtError::Connect`] (no such device, bad option), or [`PjrtError::Platform`] if the plugin serves another
    /// platform.
    pub fn new(plugin: &Plugin, options: &ClientOptions) -> Result<Self, PjrtError> {
        let connect = |source| {
            let (platform, plugin) = (plugin.platform(), plugin.path().to_owned());
            PjrtError::Connect { platform, plugin, source: Box::new(source) }
        };
        let handle = Arc::new(ClientHandle::create(*plugin, options).map_err(connect)?);
        let client = Client { devices: addressable_devices(&handle)?, handle };
        let name = client.platform_name()?;
        if !plugin.platform().is_named(&name) {
            let plugin_path = plugin.path().to_owned();
            return Err(PjrtError::Platform { plugin: plugin_path, expected: plugin.platform(), actual: name });
        }
        Ok(client)
    }

    /// The plugin.
    pub fn plugin(&self) -> &Plugin {
        &self.handle.plugin
    }

    /// The devices that this process can use.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// How many devices the whole job has.
    ///
    /// # Errors
    /// The plugin's.
    pub fn global_device_count(&self) -> Result<usize, PjrtError> {
        // SAFETY: the client is live.
        Ok(unsafe { self.call::<sys::Client_Devices>(|args| args.client = self.handle.raw())? }.num_devices)
    }

    /// This process' position among those of the job; 0 if it is alone.
    ///
    /// # Errors
    /// The plugin's.
    pub fn process_index(&self) -> Result<usize, PjrtError> {
        // SAFETY: the client is live.
        let args = unsafe { self.call::<sys::Client_ProcessIndex>(|args| args.client = self.handle.raw())? };
        Ok(args.process_index.max(0) as usize)
    }

    /// The platform's name as XLA gives it: `cpu`, `cuda`.
    ///
    /// # Errors
    /// The plugin's.
    pub fn platform_name(&self) -> Result<String, PjrtError> {
        // SAFETY: the client is live, and with it the text.
        unsafe {
            let args = self.call::<sys::Client_PlatformName>(|args| args.client = self.handle.raw())?;
            Ok(text(args.platform_name, args.platform_name_size))
        }
    }

    /// The platform's version in words (with CUDA, its version).
    ///
    /// # Errors
    /// The plugin's.
    pub fn platform_version(&self) -> Result<String, PjrtError> {
        // SAFETY: the client is live, and with it the text.
        unsafe {
            let args = self.call::<sys::Client_PlatformVersion>(|args| args.client = self.handle.raw())?;
            Ok(text(args.platform_version, args.platform_version_size))
        }
    }

    /// Compiles a StableHLO module (MLIR text or bytecode's text form) whose entry is `@main`.
    ///
    /// # Errors
    /// The plugin's (bad program, unknown override), or [`PjrtError::ElementType`] for an output that no host array
    /// can hold.
    pub fn compile(&self, stablehlo: &str, options: &CompileOptions) -> Result<Executable, PjrtError> {
        Executable::compile(&self.handle, stablehlo, options)
    }

    /// Loads what [`crate::CompiledProgram::serialize`] made with the same plugin on the same kind of device.
    ///
    /// # Errors
    /// The plugin's.
    pub fn deserialize(&self, serialized: &[u8]) -> Result<Executable, PjrtError> {
        Executable::deserialize(&self.handle, serialized)
    }

    /// # Safety
    /// As [`Plugin::call`].
    unsafe fn call<A: sys::Args>(&self, fill: impl FnOnce(&mut A)) -> Result<A, PjrtError> {
        // SAFETY: passed on to the caller.
        unsafe { self.handle.plugin.call(fill) }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({:?}, {} devices)", self.handle.plugin, self.devices.len())
    }
}

impl ClientHandle {
    fn create(plugin: Plugin, options: &ClientOptions) -> Result<Self, PjrtError> {
        let named = options.named(plugin.platform());
        let values = to_named_values(&named);
        let store = options.key_value_store.clone().map(Box::new);
        // SAFETY: the options live through the call, which copies them; the store lives as long as the client.
        let args = unsafe {
            plugin.call::<sys::Client_Create>(|args| {
                args.create_options = values.as_ptr();
                args.num_options = values.len();
                if let Some(store) = &store {
                    key_value::set_callbacks(args, store);
                }
            })?
        };
        let raw = plugin.returned::<sys::Client_Create, _>(args.client)?;
        Ok(ClientHandle { plugin, raw, _store: store })
    }

    pub(crate) fn raw(&self) -> *mut sys::Client {
        self.raw.as_ptr()
    }
}

impl fmt::Debug for ClientHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.plugin)
    }
}

impl Drop for ClientHandle {
    fn drop(&mut self) {
        // SAFETY: this was the last owner. An error here has nobody to hear it.
        let _ = unsafe { self.plugin.call::<sys::Client_Destroy>(|args| args.client = self.raw.as_ptr()) };
    }
}

fn addressable_devices(client: &Arc<ClientHandle>) -> Result<Arc<[Device]>, PjrtError> {
    // SAFETY: the client is live, and with it the list and the devices in it.
    unsafe {
        let args = client.plugin.call::<sys::Client_AddressableDevices>(|args| args.client = client.raw())?;
        let devices = list(args.addressable_devices, args.num_addressable_devices);
        devices.iter().map(|device| Device::from_raw(client, *device)).collect()
    }
}
