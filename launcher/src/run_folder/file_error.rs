//! What the system refused to do with a file.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use miette::Diagnostic;

/// A file or folder that could not be read, made or written.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot {action} {}: {source}", path.display())]
#[diagnostic(help("{}", advice(source)))]
pub struct FileError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// For `map_err`: the system's answer with what was tried.
pub fn cannot(action: &'static str, path: &Path) -> impl Fn(io::Error) -> FileError + Copy {
    move |source| FileError { action, path: path.to_owned(), source }
}

fn advice(refusal: &io::Error) -> &'static str {
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
