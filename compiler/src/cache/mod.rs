//! Compiled programs on disk: what was compiled once for a kind of machine is loaded from then on.

mod entry;
mod folder;
mod key;

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use twinflow_pjrt::{Client, CompileOptions, Executable, PjrtError};

use folder::Folder;
use key::Key;

pub use folder::CacheUsage;

/// A folder of compiled programs, which several processes and unlike machines may share.
///
/// A program is kept under a hash of all that its code depends on: StableHLO, compile options, XLA's flags, the plugin,
/// the devices, and the host's processor, for which XLA compiles. What cannot be read, does not fit or does not load
/// is compiled again; a folder that cannot be used costs one warning, and time.
#[derive(Debug, Default)]
pub struct Cache {
    folder: Option<Folder>,
    loaded: AtomicUsize,
    compiled: AtomicUsize,
    warned: AtomicBool,
}

/// Programs that a cache gave so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheTally {
    /// Loaded from the folder.
    pub loaded: usize,
    /// Compiled.
    pub compiled: usize,
}

impl Cache {
    /// No folder: every program is compiled.
    pub fn off() -> Self {
        Cache::default()
    }

    /// A folder, made when the first program is stored, of at most so many bytes: the programs unused for longest go
    /// first.
    pub fn at(folder: impl Into<PathBuf>, most_bytes: u64) -> Self {
        Cache { folder: Some(Folder::new(folder.into(), most_bytes)), ..Cache::default() }
    }

    /// The folder, if there is one.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_ref().map(Folder::path)
    }

    /// How many programs it loaded and how many it had to compile.
    pub fn tally(&self) -> CacheTally {
        let number = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        CacheTally { loaded: number(&self.loaded), compiled: number(&self.compiled) }
    }

    /// What the folder holds; nothing if it is not there yet.
    ///
    /// # Errors
    /// The system's, if the folder is there but cannot be read.
    pub fn usage(&self) -> io::Result<CacheUsage> {
        self.folder.as_ref().map_or(Ok(CacheUsage::default()), Folder::usage)
    }

    /// Makes the folder and a file in it, to see whether programs can be stored.
    ///
    /// # Errors
    /// The system's.
    pub fn check_writable(&self) -> io::Result<()> {
        self.folder.as_ref().map_or(Ok(()), Folder::check_writable)
    }

    /// The program for the client's devices: loaded, or else compiled and stored.
    ///
    /// # Errors
    /// The plugin's, if it rejects the program or an option.
    pub fn compile(&self, client: &Client, stablehlo: &str, options: &CompileOptions) -> Result<Executable, PjrtError> {
        let place = self.folder.as_ref().and_then(|folder| Some((folder, Key::new(client, stablehlo, options)?)));
        if let Some((folder, key)) = &place
            && let Some(executable) = self.load(folder, key, client)
        {
            self.loaded.fetch_add(1, Ordering::Relaxed);
            return Ok(executable);
        }
        let executable = client.compile(stablehlo, options)?;
        self.compiled.fetch_add(1, Ordering::Relaxed);
        if let Some((folder, key)) = &place {
            self.store(folder, key, &executable);
        }
        Ok(executable)
    }

    fn load(&self, folder: &Folder, key: &Key, client: &Client) -> Option<Executable> {
        let serialized = match folder.read(key) {
            Ok(serialized) => serialized?,
            Err(error) => {
                self.warn_once(folder, "read", &error);
                return None;
            }
        };
        match client.deserialize(&serialized) {
            Ok(executable) => Some(executable),
            Err(error) => {
                tracing::info!(%error, "a stored program does not load; it is compiled again");
                None
            }
        }
    }

    fn store(&self, folder: &Folder, key: &Key, executable: &Executable) {
        match executable.serialize() {
            Ok(serialized) => {
                if let Err(error) = folder.write(key, &serialized) {
                    self.warn_once(folder, "write to", &error);
                }
            }
            Err(error) => self.warn_once(folder, "fill", &error),
        }
    }

    /// Said once: it would be the same for every program.
    fn warn_once(&self, folder: &Folder, action: &str, error: &dyn std::error::Error) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            let folder = folder.path().display();
            tracing::warn!("cannot {action} the cache of compiled programs {folder}: {error}; going on without it");
        }
    }
}
