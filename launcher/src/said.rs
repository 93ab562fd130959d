//! From the libraries' errors to what the user reads.

use std::{
    fmt::Display,
    io::{self, ErrorKind, Write},
};

use miette::{Report, Result};

/// The libraries' messages say their cause themselves, so the chain of sources would only repeat it.
pub trait Said<T> {
    /// The result with the error's message alone.
    ///
    /// # Errors
    /// The same, as a report.
    fn said(self) -> Result<T>;
}

impl<T, E: Display> Said<T> for Result<T, E> {
    fn said(self) -> Result<T> {
        self.map_err(|error| Report::msg(error.to_string()))
    }
}

/// Writes a line to standard error. A reader that has gone (`2>&1 | head`) or a full log file must not end a run.
pub fn tell(message: impl Display) {
    writeln!(io::stderr(), "{message}").ok();
}

/// What to do where the system refused to make or write a file of a run.
pub fn advice(refusal: &io::Error) -> &'static str {
    match refusal.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "free some space; what was saved before is untouched, and `train --resume` goes on from it"
        }
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
            "a file is in the way: move it, or name another folder as run.dir"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => "name a folder that you may write to as run.dir",
        _ => "see whether the folder is still there and its disk works, or name another as run.dir",
    }
}
