//! Why libhdf5 refused.
//!
//! Its error stack says only what each layer could not do; a missing plugin, a newer format and a flipped bit all begin
//! with "unable to open" or "can't read data". The cause is in the inner frames' texts, which 1.10 to 2.x share.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
};

use hdf5_metno::{Error, MinorErrorCode};

/// An operation on a file that libhdf5 refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} '{}' ({bytes} bytes): {cause}", path.display())]
pub struct Hdf5Error {
    /// What was tried, as in "open the dataset".
    pub action: &'static str,
    /// Of the file that was to be read or written.
    pub path: PathBuf,
    /// Its length; 0 if there is none.
    pub bytes: u64,
    /// Why.
    pub cause: Cause,
}

/// Why libhdf5 refused, and what to do where that does not depend on the kind of file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Compressed by a filter that is a plugin and is not installed.
    MissingFilter {
        /// Name of the filter, as the file has it.
        filter: String,
    },
    /// Written by a later libhdf5 in a format that the linked one does not know.
    NewerFormat,
    /// A checksum in the file disagrees: of libhdf5's own structure, Fletcher-32, or deflate's.
    Checksum(String),
    /// The file ends before its superblock says.
    Truncated,
    /// The file does not begin as HDF5 files do.
    NotHdf5,
    /// Anything else, in the library's words: the outermost and the innermost frame.
    Other(String),
}

/// For `map_err`: the library's answer with what was tried.
pub fn failed(action: &'static str, path: &Path) -> impl FnOnce(Error) -> Hdf5Error {
    move |error| {
        let bytes = fs::metadata(path).map_or(0, |metadata| metadata.len());
        Hdf5Error { action, path: path.to_owned(), bytes, cause: Cause::of(&error) }
    }
}

impl Cause {
    /// Finds the cause in an error's stack.
    pub fn of(error: &Error) -> Self {
        let stack = error.stack().unwrap_or_default();
        let find = |parts: &[&str]| {
            let texts = stack.iter().map(hdf5_metno::ErrorFrame::desc);
            texts.rev().find(|text| parts.iter().any(|part| text.contains(part))).map(str::to_owned)
        };
        if let Some(text) = find(&["is not registered"]) {
            // required filter 'lzf' is not registered
            let filter = text.split('\'').nth(1).unwrap_or("of unknown name").to_owned();
            return Cause::MissingFilter { filter };
        }
        // A wrong checksum comes first: what a damaged version byte says is no version.
        if let Some(text) = find(&["checksum", "inflate() failed"]) {
            return Cause::Checksum(text);
        }
        if find(&["bad version number", "unknown version", "bad superblock version", "bad object header version"])
            .is_some()
        {
            return Cause::NewerFormat;
        }
        if stack.contains_minor(MinorErrorCode::Truncated) {
            return Cause::Truncated;
        }
        if stack.contains_minor(MinorErrorCode::NotHdf5) {
            return Cause::NotHdf5;
        }
        Cause::Other(error.to_string())
    }

    /// Whether the file's bytes are not those written: another copy may be whole.
    pub fn is_damage(&self) -> bool {
        matches!(self, Cause::Checksum(_) | Cause::Truncated | Cause::NotHdf5)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::MissingFilter { filter } => {
                write!(f, "it is compressed with the filter '{filter}', which this HDF5 library has not: ")?;
                match env::var("HDF5_PLUGIN_PATH") {
                    Ok(folders) => write!(f, "no such plugin in HDF5_PLUGIN_PATH={folders}")?,
                    Err(_) => write!(f, "set HDF5_PLUGIN_PATH to the folder of the filter's plugin")?,
                }
                write!(f, ", or rewrite the file without compression or with gzip")
            }
            Cause::NewerFormat => {
                let (major, minor, patch) = crate::version();
                write!(
                    f,
                    "its format is newer than this HDF5 library {major}.{minor}.{patch} (HDF5 2 with libver='latest' \
                     writes it): rewrite it with h5py.File(.., libver='v114'), or libver=('earliest', 'v110')"
                )
            }
            Cause::Checksum(text) => write!(f, "it is damaged ({text})"),
            Cause::Truncated => write!(f, "it is cut short"),
            Cause::NotHdf5 => write!(f, "it is no HDF5 file, or its beginning is lost"),
            Cause::Other(text) => f.write_str(text),
        }
    }
}
