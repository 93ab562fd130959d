//! Opening a plugin and calling its functions.

use std::{
    collections::BTreeMap,
    ffi::c_void,
    fmt, mem,
    path::{Path, PathBuf},
    ptr,
    sync::{Mutex, PoisonError},
};

use libloading::Library;

use crate::{
    ErrorCode, OptionValue, PjrtError,
    discover::{self, Platform},
    option_value,
    sys::{self, Args},
};

/// The oldest minor version of the C API that is spoken to (that of the wheel xla-cpu-pjrt 0.0.1).
pub(crate) const OLDEST_MINOR: i32 = 81;

/// Zero words behind every args struct: a newer plugin takes its newer, optional fields from there or writes them there.
const PADDING: usize = 32;

/// A PJRT plugin, opened once per process and never closed (XLA's threads may outlive any client).
#[derive(Clone, Copy)]
pub struct Plugin {
    library: &'static PluginLibrary,
    platform: Platform,
}

struct PluginLibrary {
    path: PathBuf,
    api: ptr::NonNull<sys::Api>,
    minor: i32,
    /// Keeps the code mapped.
    _library: Library,
}

// SAFETY: the table is written once before GetPjrtApi returns it and only read afterwards; PJRT's functions may be
// called from any thread.
unsafe impl Send for PluginLibrary {}
// SAFETY: as above.
unsafe impl Sync for PluginLibrary {}

/// All opened plugins, by canonical path.
static OPENED: Mutex<Vec<&'static PluginLibrary>> = Mutex::new(Vec::new());

impl Plugin {
    /// Finds and opens the plugin for a platform: at `explicit`, else where the environment variable
    /// `TWINFLOW_PJRT_PLUGIN` says, else the first of: the active Python environment, those of `python3` on the search
    /// path, `.plugins/` in the executable's and the current folder and their ancestors, the user's data folder
    /// (`twinflow-xla/plugins`).
    ///
    /// # Errors
    /// [`PjrtError::PluginNotFound`] with every place looked at, [`PjrtError::NamedPluginMissing`], and those of a file
    /// that is no plugin or a too old one.
    pub fn discover(platform: Platform, explicit: Option<&Path>) -> Result<Self, PjrtError> {
        let path = discover::find(platform, explicit)?;
        Ok(Plugin { library: open_once(&path)?, platform })
    }

    /// The platform that it was opened for.
    pub fn platform(&self) -> Platform {
        self.platform
    }

    /// The plugin's file.
    pub fn path(&self) -> &Path {
        &self.library.path
    }

    /// Major and minor version of the C API that it speaks.
    pub fn api_version(&self) -> (i32, i32) {
        (0, self.library.minor)
    }

    /// What the plugin says of itself (`xla_version`, `stablehlo_current_version`, ..).
    ///
    /// # Errors
    /// The plugin's.
    pub fn attributes(&self) -> Result<BTreeMap<String, OptionValue>, PjrtError> {
        // SAFETY: the function takes nothing and returns an array that lives as long as the process.
        unsafe {
            let args = self.call::<sys::Plugin_Attributes>(|_| {})?;
            Ok(option_value::read_named_values(args.attributes, args.num_attributes))
        }
    }

    /// Calls the function of the table that takes `A`, with all fields zero but those that `fill` sets.
    ///
    /// # Safety
    /// The pointers that `fill` sets must be what the C header asks of that function.
    pub(crate) unsafe fn call<A: Args>(&self, fill: impl FnOnce(&mut A)) -> Result<A, PjrtError> {
        // SAFETY: passed on to the caller.
        unsafe { self.library.call(fill) }
    }

    /// The object that a call returned, which is null only if the plugin breaks its contract.
    pub(crate) fn returned<A: Args, T>(&self, object: *mut T) -> Result<ptr::NonNull<T>, PjrtError> {
        ptr::NonNull::new(object).ok_or(PjrtError::NullResult { function: A::FUNCTION })
    }

    /// Turns an error that the plugin handed over into ours and frees it; null is no error.
    ///
    /// # Safety
    /// `error` must be null or an error of this plugin that nobody else frees.
    pub(crate) unsafe fn check(&self, function: &'static str, error: *mut sys::Error) -> Result<(), PjrtError> {
        // SAFETY: passed on to the caller.
        unsafe { self.library.check(function, error) }
    }
}

impl PluginLibrary {
    unsafe fn call<A: Args>(&self, fill: impl FnOnce(&mut A)) -> Result<A, PjrtError> {
        #[repr(C)]
        struct Padded<A> {
            args: A,
            padding: [usize; PADDING],
        }
        let function: sys::Function = self.function(A::FIELD).ok_or_else(|| PjrtError::Unsupported {
            function: A::FUNCTION,
            plugin: self.path.clone(),
            minor: self.minor,
        })?;
        // SAFETY: `Args` promises that zero bytes are a value.
        let mut padded: Padded<A> = unsafe { mem::zeroed() };
        fill(&mut padded.args);
        let start = (&raw mut padded).cast::<c_void>();
        // SAFETY: `Args` promises that the struct begins with its size and is what the function takes; the caller of
        // this function vouches for the pointers in it. Plugins accept a larger struct than they know.
        unsafe {
            start.cast::<usize>().write(size_of::<Padded<A>>());
            self.check(A::FUNCTION, function(start))?;
        }
        Ok(padded.args)
    }

    /// The function pointer at an offset of the table, if the plugin's table reaches that far and has it.
    fn function<F: Copy>(&self, offset: usize) -> Option<F> {
        let api = self.api.as_ptr();
        // SAFETY: every table begins with its size. The field lies inside it, is aligned, and holds a nullable function
        // pointer (`Option<F>` with F one of the two function types); no reference to the whole table is made, which
        // may be shorter than ours.
        unsafe {
            let table_size = (&raw const (*api).struct_size).read();
            let inside = offset + size_of::<Option<F>>() <= table_size;
            if inside { api.cast::<u8>().add(offset).cast::<Option<F>>().read() } else { None }
        }
    }

    unsafe fn check(&self, function: &'static str, error: *mut sys::Error) -> Result<(), PjrtError> {
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: the error is live until destroyed below; its message lives as long as it.
        unsafe {
            let code = self.call::<sys::Error_GetCode>(|args| args.error = error).map_or(2, |args| args.code);
            let message = self.message(error);
            let mut args = sys::ErrorDestroy {
                struct_size: size_of::<sys::ErrorDestroy>(),
                extension_start: ptr::null_mut(),
                error,
            };
            if let Some(destroy) = self.function::<sys::VoidFunction>(mem::offset_of!(sys::Api, Error_Destroy)) {
                destroy((&raw mut args).cast());
            }
            Err(PjrtError::Plugin { function, code: ErrorCode::from_raw(code), message })
        }
    }

    /// # Safety
    /// `error` must be live.
    unsafe fn message(&self, error: *const sys::Error) -> String {
        let mut args = sys::ErrorMessage {
            struct_size: size_of::<sys::ErrorMessage>(),
            extension_start: ptr::null_mut(),
            error,
            message: ptr::null(),
            message_size: 0,
        };
        match self.function::<sys::VoidFunction>(mem::offset_of!(sys::Api, Error_Message)) {
            // SAFETY: the function fills in a text that lives as long as the error.
            Some(message) => unsafe {
                message((&raw mut args).cast());
                option_value::text(args.message, args.message_size)
            },
            None => "the plugin has no error messages".to_owned(),
        }
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plugin({}, {}, C API 0.{})", self.platform, self.library.path.display(), self.library.minor)
    }
}

fn open_once(path: &Path) -> Result<&'static PluginLibrary, PjrtError> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(library) = opened.iter().find(|library| library.path == path) {
        return Ok(library);
    }
    let library: &'static PluginLibrary = Box::leak(Box::new(open(path)?));
    opened.push(library);
    tracing::debug!(plugin = %library.path.display(), api = library.minor, "opened a PJRT plugin");
    Ok(library)
}

fn open(path: PathBuf) -> Result<PluginLibrary, PjrtError> {
    // SAFETY: opening runs the library's initialisers; the user chose the file as a plugin, that is as code to run.
    let library = match unsafe { Library::new(&path) } {
        Ok(library) => library,
        Err(source) => return Err(PjrtError::NotALibrary { path, source }),
    };
    // SAFETY: a symbol of this name is PJRT's entry point, which has this type in every version.
    let api = unsafe {
        match library.get::<unsafe extern "C" fn() -> *mut sys::Api>(b"GetPjrtApi\0") {
            Ok(entry) => entry(),
            Err(_) => ptr::null_mut(),
        }
    };
    let Some(api) = ptr::NonNull::new(api) else { return Err(PjrtError::NotAPlugin { path }) };
    // SAFETY: size, extensions and version begin every table since the first version.
    let (major, minor) = unsafe { ((*api.as_ptr()).version.major, (*api.as_ptr()).version.minor) };
    if major != 0 || minor < OLDEST_MINOR {
        return Err(PjrtError::Version { path, major, minor });
    }
    let library = PluginLibrary { path, api, minor, _library: library };
    // SAFETY: called once, before any other function, as the header asks; it takes no pointers.
    unsafe { library.call::<sys::Plugin_Initialize>(|_| {})? };
    Ok(library)
}
