//! How to create a client.

use std::sync::Arc;

use crate::{KeyValueStore, OptionValue, Platform};

/// How to create a client. What does not concern the plugin's platform is not sent.
#[derive(Clone, Default)]
pub struct ClientOptions {
    /// CPU: how many devices the host's processors make; 1 if not set. (XLA's own default is not 1.)
    pub cpu_device_count: Option<usize>,
    /// CUDA: the share of a GPU's memory that the client may take (XLA: 0.75).
    pub memory_fraction: Option<f64>,
    /// CUDA: whether that memory is taken at once (XLA: yes).
    pub preallocate: Option<bool>,
    /// CUDA: this process' position among [`ClientOptions::num_nodes`].
    pub node_id: Option<usize>,
    /// CUDA: how many processes form one client; needs [`ClientOptions::key_value_store`].
    pub num_nodes: Option<usize>,
    /// CUDA: the ordinals of the GPUs to use; all if not set.
    pub visible_devices: Option<Vec<i64>>,
    /// Further options, by the plugin's names. (The CUDA plugin refuses unknown ones, the CPU plugin ignores them.)
    pub extra: Vec<(String, OptionValue)>,
    /// Where the processes of one client find each other.
    pub key_value_store: Option<Arc<dyn KeyValueStore>>,
}

impl ClientOptions {
    /// The options by the plugins' names.
    pub(crate) fn named(&self, platform: Platform) -> Vec<(String, OptionValue)> {
        let int = |value: usize| OptionValue::Int(value as i64);
        let named: Vec<(&str, Option<OptionValue>)> = match platform {
            Platform::Cpu => vec![("cpu_device_count", Some(int(self.cpu_device_count.unwrap_or(1))))],
            Platform::Cuda => vec![
                ("memory_fraction", self.memory_fraction.map(OptionValue::Float)),
                ("preallocate", self.preallocate.map(OptionValue::Bool)),
                ("node_id", self.node_id.map(int)),
                ("num_nodes", self.num_nodes.map(int)),
                ("visible_devices", self.visible_devices.clone().map(OptionValue::IntList)),
            ],
        };
        let set = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        set.chain(self.extra.iter().cloned()).collect()
    }
}
