//! Devices.

use std::{collections::BTreeMap, fmt, sync::Arc};

use crate::{
    OptionValue, PjrtError,
    client::ClientHandle,
    option_value::{read_named_values, text},
    sys,
};

/// A device of a client. Clones are cheap; it keeps the client alive.
#[derive(Clone)]
pub struct Device {
    client: Arc<ClientHandle>,
    raw: *mut sys::Device,
    facts: Arc<Facts>,
}

struct Facts {
    id: i32,
    process_index: i32,
    local_ordinal: i32,
    kind: String,
    debug_string: String,
    attributes: BTreeMap<String, OptionValue>,
}

// SAFETY: a device lives as long as its client, which it keeps alive, and PJRT's functions on it are thread-safe.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

/// What a device's allocator says, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceMemory {
    /// In use now.
    pub in_use: u64,
    /// The most that was in use.
    pub peak: Option<u64>,
    /// The most that can be.
    pub limit: Option<u64>,
}

impl Device {
    /// # Safety
    /// `raw` must be a device of `client`.
    pub(crate) unsafe fn from_raw(client: &Arc<ClientHandle>, raw: *mut sys::Device) -> Result<Self, PjrtError> {
        let plugin = client.plugin;
        // SAFETY: the device is live with its client.
        let facts = unsafe {
            let description = plugin.call::<sys::Device_GetDescription>(|args| args.device = raw)?.device_description;
            let local = plugin.call::<sys::Device_LocalHardwareId>(|args| args.device = raw)?;
            Facts::read(client, description, local.local_hardware_id)?
        };
        Ok(Device { client: client.clone(), raw, facts: Arc::new(facts) })
    }

    /// Its number, unique in the job.
    pub fn id(&self) -> i32 {
        self.facts.id
    }

    /// The process that it belongs to.
    pub fn process_index(&self) -> i32 {
        self.facts.process_index
    }

    /// Its number on this machine (the CUDA ordinal).
    pub fn local_ordinal(&self) -> i32 {
        self.facts.local_ordinal
    }

    /// Its make: `cpu`, `NVIDIA H200`.
    pub fn kind(&self) -> &str {
        &self.facts.kind
    }

    /// A full description in words.
    pub fn debug_string(&self) -> &str {
        &self.facts.debug_string
    }

    /// What else the plugin says of it (`core_count`, `compute_capability`, ..).
    pub fn attributes(&self) -> &BTreeMap<String, OptionValue> {
        &self.facts.attributes
    }

    /// What its allocator says; `None` where it keeps no count (CPU).
    pub fn memory(&self) -> Option<DeviceMemory> {
        // SAFETY: the device is live with its client.
        let call = unsafe { self.client.plugin.call::<sys::Device_MemoryStats>(|args| args.device = self.raw) };
        let stats = call.ok()?;
        let bytes = |value: i64| value.max(0) as u64;
        Some(DeviceMemory {
            in_use: bytes(stats.bytes_in_use),
            peak: stats.peak_bytes_in_use_is_set.then(|| bytes(stats.peak_bytes_in_use)),
            limit: stats.bytes_limit_is_set.then(|| bytes(stats.bytes_limit)),
        })
    }

    pub(crate) fn client(&self) -> &Arc<ClientHandle> {
        &self.client
    }

    pub(crate) fn raw(&self) -> *mut sys::Device {
        self.raw
    }
}

impl Facts {
    /// # Safety
    /// `description` must be of a device of `client`.
    unsafe fn read(
        client: &ClientHandle,
        description: *mut sys::DeviceDescription,
        local_ordinal: i32,
    ) -> Result<Self, PjrtError> {
        let plugin = client.plugin;
        // SAFETY: the description, its texts and attributes are live with the device.
        unsafe {
            let kind = plugin.call::<sys::DeviceDescription_Kind>(|args| args.device_description = description)?;
            let words =
                plugin.call::<sys::DeviceDescription_DebugString>(|args| args.device_description = description)?;
            let named =
                plugin.call::<sys::DeviceDescription_Attributes>(|args| args.device_description = description)?;
            let process =
                plugin.call::<sys::DeviceDescription_ProcessIndex>(|args| args.device_description = description)?;
            Ok(Facts {
                id: plugin.call::<sys::DeviceDescription_Id>(|args| args.device_description = description)?.id,
                process_index: process.process_index,
                local_ordinal,
                kind: text(kind.device_kind, kind.device_kind_size),
                debug_string: text(words.debug_string, words.debug_string_size),
                attributes: read_named_values(named.attributes, named.num_attributes),
            })
        }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.facts.debug_string)
    }
}

impl PartialEq for Device {
    /// The same device of the same client.
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}
