//! Topologies: devices to compile for that need not be present.

use std::ffi::c_char;

use super::{Client, DeviceDescription, Executable, NamedValue, Program, TopologyDescription, args};

args! {
    TopologyDescription_Create {
        topology_name: *const c_char,
        topology_name_size: usize,
        create_options: *const NamedValue,
        num_options: usize,
        topology: *mut TopologyDescription,
    }
    TopologyDescription_Destroy { topology: *mut TopologyDescription }
    TopologyDescription_GetDeviceDescriptions {
        topology: *const TopologyDescription,
        descriptions: *const *mut DeviceDescription,
        num_descriptions: usize,
    }
    Compile {
        topology: *const TopologyDescription,
        program: *const Program,
        compile_options: *const c_char,
        compile_options_size: usize,
        client: *mut Client,
        executable: *mut Executable,
    }
}
