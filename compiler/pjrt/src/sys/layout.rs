//! The declarations against the offsets that a C compiler gives the header (x86-64 and AArch64 agree: both are LP64).

use std::{collections::BTreeMap, mem::offset_of};

use super::*;

/// What an args struct declares, in the header's names.
pub trait Layout {
    const NAME: &'static str;
    const FIELDS: &'static [(&'static str, usize)];
}

type Fields = BTreeMap<String, usize>;

/// Lines of `STRUCT sizeof=N field=OFFSET ..`, printed by a C program that includes the header.
fn printed_by_c() -> BTreeMap<String, Fields> {
    let parse = |pair: &str| {
        let (field, offset) = pair.split_once('=').unwrap();
        (field.to_owned(), offset.parse().unwrap())
    };
    include_str!("layout_0_90.txt")
        .lines()
        .map(|line| {
            let (name, pairs) = line.split_once(' ').unwrap();
            (name.to_owned(), pairs.split(' ').map(parse).collect())
        })
        .collect()
}

fn expect(printed: &mut BTreeMap<String, Fields>, name: &str, size: usize, fields: &[(&str, usize)]) {
    let mut declared: Fields = fields.iter().map(|(f, at)| (f.trim_start_matches("r#").to_owned(), *at)).collect();
    declared.insert("sizeof".to_owned(), size);
    assert_eq!(printed.remove(name).as_ref(), Some(&declared), "{name}");
}

macro_rules! expect_args {
    ($printed:ident; $($args:ident),* $(,)?) => {$(
        expect(&mut $printed, <$args as Layout>::NAME, size_of::<$args>(), <$args as Layout>::FIELDS);
    )*};
}

macro_rules! expect_struct {
    ($printed:ident, $c:literal, $ty:ident { $($field:ident => $c_field:literal),* $(,)? }) => {
        expect(&mut $printed, $c, size_of::<$ty>(), &[$(($c_field, offset_of!($ty, $field))),*]);
    };
}

#[test]
fn declarations_have_the_layout_of_the_c_header() {
    let mut printed = printed_by_c();
    expect_args!(printed;
        Client_BufferFromHostBuffer,
        Buffer_Destroy,
        Buffer_ElementType,
        Buffer_Dimensions,
        Buffer_OnDeviceSizeInBytes,
        Buffer_CopyToDevice,
        Buffer_ToHostBuffer,
        Buffer_IsOnCpu,
        Buffer_ReadyEvent,
        Buffer_UnsafePointer,
        Client_Create,
        Client_Destroy,
        Client_PlatformName,
        Client_PlatformVersion,
        Client_ProcessIndex,
        Client_Devices,
        Client_AddressableDevices,
        Client_Compile,
        DeviceDescription_Id,
        DeviceDescription_ProcessIndex,
        DeviceDescription_Attributes,
        DeviceDescription_Kind,
        DeviceDescription_DebugString,
        Device_GetDescription,
        Device_LocalHardwareId,
        Device_MemoryStats,
        Error_GetCode,
        Plugin_Initialize,
        Plugin_Attributes,
        Event_Destroy,
        Event_IsReady,
        Event_Await,
        Event_OnReady,
        Executable_Destroy,
        Executable_Name,
        Executable_NumReplicas,
        Executable_NumPartitions,
        Executable_NumOutputs,
        Executable_OutputElementTypes,
        Executable_OutputDimensions,
        Executable_GetCostAnalysis,
        Executable_GetCompiledMemoryStats,
        Executable_Fingerprint,
        Executable_OptimizedProgram,
        Executable_Serialize,
        Executable_DeserializeAndLoad,
        LoadedExecutable_Destroy,
        LoadedExecutable_GetExecutable,
        LoadedExecutable_AddressableDevices,
        LoadedExecutable_Execute,
        TopologyDescription_Create,
        TopologyDescription_Destroy,
        TopologyDescription_GetDeviceDescriptions,
        Compile,
    );
    expect_struct!(printed, "PJRT_NamedValue", NamedValue {
        name => "name",
        name_size => "name_size",
        kind => "type",
        value => "string_value",
        value_size => "value_size",
    });
    expect_struct!(printed, "PJRT_KeyValueGetCallback_Args", KeyValueGet {
        key => "key",
        key_size => "key_size",
        timeout_in_ms => "timeout_in_ms",
        callback_error => "callback_error",
        user_arg => "user_arg",
        value => "value",
        value_size => "value_size",
        value_deleter_callback => "value_deleter_callback",
    });
    expect_struct!(printed, "PJRT_KeyValueTryGetCallback_Args", KeyValueTryGet {
        key => "key",
        key_size => "key_size",
        callback_error => "callback_error",
        user_arg => "user_arg",
        value => "value",
        value_size => "value_size",
        value_deleter_callback => "value_deleter_callback",
    });
    expect_struct!(printed, "PJRT_KeyValuePutCallback_Args", KeyValuePut {
        key => "key",
        key_size => "key_size",
        value => "value",
        value_size => "value_size",
        callback_error => "callback_error",
        user_arg => "user_arg",
    });
    expect_struct!(printed, "PJRT_Program", Program {
        code => "code",
        code_size => "code_size",
        format => "format",
        format_size => "format_size",
    });
    expect_struct!(printed, "PJRT_ExecuteOptions", ExecuteOptions {
        send_callbacks => "send_callbacks",
        recv_callbacks => "recv_callbacks",
        num_send_ops => "num_send_ops",
        num_recv_ops => "num_recv_ops",
        launch_id => "launch_id",
        non_donatable_input_indices => "non_donatable_input_indices",
        num_non_donatable_input_indices => "num_non_donatable_input_indices",
        context => "context",
        call_location => "call_location",
        num_tasks => "num_tasks",
        task_ids => "task_ids",
        incarnation_ids => "incarnation_ids",
    });
    expect_struct!(printed, "PJRT_Error_Destroy_Args", ErrorDestroy {
        error => "error",
    });
    expect_struct!(printed, "PJRT_Error_Message_Args", ErrorMessage {
        error => "error",
        message => "message",
        message_size => "message_size",
    });
    expect_struct!(printed, "PJRT_Api_Version", ApiVersion {
        major => "major_version",
        minor => "minor_version",
    });
    let table = printed.remove("PJRT_Api").unwrap();
    let declared: Fields = API_LAYOUT.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect();
    assert_eq!(table, declared);
    assert_eq!(printed.keys().collect::<Vec<_>>(), Vec::<&String>::new(), "printed but not compared");
}
