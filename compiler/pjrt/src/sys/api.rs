//! The function table that a plugin's `GetPjrtApi` returns.

use std::ffi::{c_int, c_void};

use super::{Error, Extension};

/// A table entry: takes its args struct, returns null or an error that the caller owns.
pub type Function = unsafe extern "C" fn(*mut c_void) -> *mut Error;

/// A table entry without a result (`PJRT_Error_Destroy`, `PJRT_Error_Message`).
pub type VoidFunction = unsafe extern "C" fn(*mut c_void);

/// `PJRT_Api_Version`.
#[repr(C)]
pub struct ApiVersion {
    pub struct_size: usize,
    pub extension_start: *mut Extension,
    pub major: c_int,
    pub minor: c_int,
}

macro_rules! api {
    ($($function:ident),* $(,)?) => {
        /// `PJRT_Api` as of C API 0.90. Plugins append functions, so an older plugin's table ends earlier: a field is
        /// read only after `struct_size` says that it is there, and the struct is never copied.
        #[repr(C)]
        #[allow(non_snake_case, reason = "the C header's names without their prefix PJRT_")]
        pub struct Api {
            pub struct_size: usize,
            pub extension_start: *mut Extension,
            pub version: ApiVersion,
            pub Error_Destroy: Option<VoidFunction>,
            pub Error_Message: Option<VoidFunction>,
            $(pub $function: Option<Function>,)*
        }

        #[cfg(test)]
        pub const API_LAYOUT: &[(&str, usize)] = &[
            ("Error_Destroy", std::mem::offset_of!(Api, Error_Destroy)),
            ("Error_Message", std::mem::offset_of!(Api, Error_Message)),
            $((stringify!($function), std::mem::offset_of!(Api, $function)),)*
        ];
    };
}

api! {
    Error_GetCode,
    Plugin_Initialize,
    Plugin_Attributes,
    Event_Destroy,
    Event_IsReady,
    Event_Error,
    Event_Await,
    Event_OnReady,
    Client_Create,
    Client_Destroy,
    Client_PlatformName,
    Client_ProcessIndex,
    Client_PlatformVersion,
    Client_Devices,
    Client_AddressableDevices,
    Client_LookupDevice,
    Client_LookupAddressableDevice,
    Client_AddressableMemories,
    Client_Compile,
    Client_DefaultDeviceAssignment,
    Client_BufferFromHostBuffer,
    DeviceDescription_Id,
    DeviceDescription_ProcessIndex,
    DeviceDescription_Attributes,
    DeviceDescription_Kind,
    DeviceDescription_DebugString,
    DeviceDescription_ToString,
    Device_GetDescription,
    Device_IsAddressable,
    Device_LocalHardwareId,
    Device_AddressableMemories,
    Device_DefaultMemory,
    Device_MemoryStats,
    Memory_Id,
    Memory_Kind,
    Memory_DebugString,
    Memory_ToString,
    Memory_AddressableByDevices,
    Executable_Destroy,
    Executable_Name,
    Executable_NumReplicas,
    Executable_NumPartitions,
    Executable_NumOutputs,
    Executable_SizeOfGeneratedCodeInBytes,
    Executable_GetCostAnalysis,
    Executable_OutputMemoryKinds,
    Executable_OptimizedProgram,
    Executable_Serialize,
    LoadedExecutable_Destroy,
    LoadedExecutable_GetExecutable,
    LoadedExecutable_AddressableDevices,
    LoadedExecutable_Delete,
    LoadedExecutable_IsDeleted,
    LoadedExecutable_Execute,
    Executable_DeserializeAndLoad,
    LoadedExecutable_Fingerprint,
    Buffer_Destroy,
    Buffer_ElementType,
    Buffer_Dimensions,
    Buffer_UnpaddedDimensions,
    Buffer_DynamicDimensionIndices,
    Buffer_GetMemoryLayout,
    Buffer_OnDeviceSizeInBytes,
    Buffer_Device,
    Buffer_Memory,
    Buffer_Delete,
    Buffer_IsDeleted,
    Buffer_CopyToDevice,
    Buffer_ToHostBuffer,
    Buffer_IsOnCpu,
    Buffer_ReadyEvent,
    Buffer_UnsafePointer,
    Buffer_IncreaseExternalReferenceCount,
    Buffer_DecreaseExternalReferenceCount,
    Buffer_OpaqueDeviceMemoryDataPointer,
    CopyToDeviceStream_Destroy,
    CopyToDeviceStream_AddChunk,
    CopyToDeviceStream_TotalBytes,
    CopyToDeviceStream_GranuleSize,
    CopyToDeviceStream_CurrentBytes,
    TopologyDescription_Create,
    TopologyDescription_Destroy,
    TopologyDescription_PlatformName,
    TopologyDescription_PlatformVersion,
    TopologyDescription_GetDeviceDescriptions,
    TopologyDescription_Serialize,
    TopologyDescription_Attributes,
    Compile,
    Executable_OutputElementTypes,
    Executable_OutputDimensions,
    Buffer_CopyToMemory,
    Client_CreateViewOfDeviceBuffer,
    Executable_Fingerprint,
    Client_TopologyDescription,
    Executable_GetCompiledMemoryStats,
    Memory_Kind_Id,
    ExecuteContext_Create,
    ExecuteContext_Destroy,
    Buffer_CopyRawToHost,
    AsyncHostToDeviceTransferManager_Destroy,
    AsyncHostToDeviceTransferManager_TransferData,
    Client_CreateBuffersForAsyncHostToDevice,
    AsyncHostToDeviceTransferManager_RetrieveBuffer,
    AsyncHostToDeviceTransferManager_Device,
    AsyncHostToDeviceTransferManager_BufferCount,
    AsyncHostToDeviceTransferManager_BufferSize,
    AsyncHostToDeviceTransferManager_SetBufferError,
    AsyncHostToDeviceTransferManager_AddMetadata,
    Client_DmaMap,
    Client_DmaUnmap,
    Client_CreateUninitializedBuffer,
    Client_UpdateGlobalProcessInfo,
    TopologyDescription_Deserialize,
    Client_CreateAliasBuffer,
    Client_FulfillAliasBuffer,
    LoadedExecutable_GetDeviceAssignment,
    Client_CreateErrorBuffer,
    AsyncHostToDeviceTransferManager_TransferLiteral,
    Buffer_CopyRawToHostFuture,
    Device_PoisonExecution,
    Device_CreateAsyncTrackingEvent,
    AsyncTrackingEvent_Destroy,
    Executable_GetCompileOptions,
    Buffer_DonateWithControlDependency,
    Event_Create,
    Event_Set,
}
