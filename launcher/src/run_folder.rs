//! The folder of a run: config.toml, metrics.jsonl, environment.jsonl, checkpoints/, samples/, tensorboard/, logs/.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

use fs4::{FileExt, TryLockError};
use miette::Diagnostic;

use crate::config::RunConfig;

/// Names inside a run folder.
const LOCK: &str = "lock";
const CONFIG: &str = "config.toml";

/// A run folder that only this job writes to, until dropped.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// The lock goes with the open file, also when the process is killed.
    _lock: File,
}

/// Why a folder cannot be a run's.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum RunFolderError {
    /// The named folder holds something.
    #[error("the run folder {} is not empty", path.display())]
    #[diagnostic(help("go on with that run by `train --resume {}`, or name another folder as run.dir", path.display()))]
    Used {
        /// The folder.
        path: PathBuf,
    },
    /// `--resume` of something that is no run folder.
    #[error("{} is no run folder: it has no config.toml", path.display())]
    #[diagnostic(help("name the folder that `train` made, for example runs/quickstart"))]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
    /// Another job holds the lock.
    #[error("the run folder {} is in use by {holder}", path.display())]
    #[diagnostic(help("wait for that job or stop it; two jobs would spoil each other's files"))]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Process id and host of the job.
        holder: String,
    },
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    #[diagnostic(help("{}", advice(source)))]
    Io {
        /// What was tried.
        action: &'static str,
        /// File or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl RunFolder {
    /// The folder of a new run: `run.dir` if set (missing or empty), else the first free one of runs/NAME, runs/NAME-2...
    ///
    /// # Errors
    /// [`RunFolderError::Used`], [`RunFolderError::InUse`], [`RunFolderError::Io`].
    pub fn create(run: &RunConfig) -> Result<Self, RunFolderError> {
        if run.dir.as_os_str().is_empty() {
            return Self::create_fresh(Path::new("runs"), &run.name);
        }
        create_all(&run.dir)?;
        if is_empty(&run.dir)? { Self::open(run.dir.clone())?.with_subfolders() } else { Err(in_use_or_used(&run.dir)) }
    }

    fn create_fresh(parent: &Path, name: &str) -> Result<Self, RunFolderError> {
        create_all(parent)?;
        let names = std::iter::once(name.to_owned()).chain((2..).map(|n| format!("{name}-{n}")));
        for path in names.map(|name| parent.join(name)) {
            // Making a folder is atomic, also on network file systems: two jobs never get the same.
            match fs::create_dir(&path) {
                Ok(()) => return Self::open(path)?.with_subfolders(),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(source) => return Err(RunFolderError::Io { action: "make the folder", path, source }),
            }
        }
        unreachable!("the names do not end")
    }

    /// The folder of a run that goes on.
    ///
    /// # Errors
    /// [`RunFolderError::NotARun`], [`RunFolderError::InUse`], [`RunFolderError::Io`].
    pub fn resume(path: &Path) -> Result<Self, RunFolderError> {
        if !path.join(CONFIG).is_file() {
            return Err(RunFolderError::NotARun { path: path.to_owned() });
        }
        let folder = Self::open(path.to_owned())?.with_subfolders()?;
        for place in [path, &folder.checkpoints()] {
            // What cannot be deleted takes space but does no harm.
            twinflow_files::remove_stale(place).ok();
        }
        Ok(folder)
    }

    fn open(path: PathBuf) -> Result<Self, RunFolderError> {
        let lock_path = path.join(LOCK);
        let io_error = |source| RunFolderError::Io { action: "lock", path: lock_path.clone(), source };
        let mut options = OpenOptions::new();
        let mut lock =
            options.read(true).write(true).create(true).truncate(false).open(&lock_path).map_err(io_error)?;
        match FileExt::try_lock(&lock) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(RunFolderError::InUse { holder: holder(&path), path }),
            // Some network file systems have no locks; runs there rely on the fresh folder alone.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(io_error(error)),
        }
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "process {} on {}", std::process::id(), host()))
            .map_err(io_error)?;
        Ok(RunFolder { path, _lock: lock })
    }

    fn with_subfolders(self) -> Result<Self, RunFolderError> {
        for path in [self.checkpoints(), self.samples(), self.logs()] {
            create_all(&path)?;
        }
        Ok(self)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// checkpoints/
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// samples/
    pub fn samples(&self) -> PathBuf {
        self.path.join("samples")
    }

    /// logs/, with a file per rank.
    pub fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// metrics.jsonl
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// environment.jsonl
    pub fn environment(&self) -> PathBuf {
        self.path.join("environment.jsonl")
    }

    /// tensorboard/
    pub fn tensorboard(&self) -> PathBuf {
        self.path.join("tensorboard")
    }

    /// config.toml of the run at `path`.
    pub fn config_in(path: &Path) -> PathBuf {
        path.join(CONFIG)
    }

    /// Writes the settings as they were resolved.
    ///
    /// # Errors
    /// [`RunFolderError::Io`].
    pub fn write_config(&self, toml: &str) -> Result<(), RunFolderError> {
        let path = self.path.join(CONFIG);
        let text = format!("# The settings of this run, defaults included.\n\n{toml}");
        twinflow_files::write(&path, text).map_err(|source| RunFolderError::Io { action: "write", path, source })
    }
}

fn create_all(path: &Path) -> Result<(), RunFolderError> {
    let error = |source| RunFolderError::Io { action: "make the folder", path: path.to_owned(), source };
    fs::create_dir_all(path).map_err(error)
}

fn is_empty(path: &Path) -> Result<bool, RunFolderError> {
    let mut entries = fs::read_dir(path).map_err(|source| RunFolderError::Io {
        action: "look into",
        path: path.to_owned(),
        source,
    })?;
    Ok(entries.next().is_none())
}

/// A folder with files in it may belong to a job that runs just now.
fn in_use_or_used(path: &Path) -> RunFolderError {
    let locked = File::open(path.join(LOCK))
        .is_ok_and(|lock| matches!(FileExt::try_lock_shared(&lock), Err(TryLockError::WouldBlock)));
    let path = path.to_owned();
    if locked { RunFolderError::InUse { holder: holder(&path), path } } else { RunFolderError::Used { path } }
}

fn holder(path: &Path) -> String {
    let mut text = String::new();
    let read = File::open(path.join(LOCK)).and_then(|mut file| file.read_to_string(&mut text));
    if read.is_ok() && !text.trim().is_empty() { text.trim().to_owned() } else { "another job".to_owned() }
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

/// This machine's name.
pub fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "this machine".to_owned() } else { name.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(dir: &Path) -> RunConfig {
        RunConfig { dir: dir.to_owned(), ..RunConfig::default() }
    }

    #[test]
    fn an_empty_folder_is_fine_and_a_used_one_only_to_resume() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(&named(temporary.path())).unwrap();
        folder.write_config("[run]\n").unwrap();
        assert!(folder.checkpoints().is_dir());
        let error = RunFolder::create(&named(temporary.path())).unwrap_err();
        assert!(matches!(error, RunFolderError::InUse { .. }), "{error}");
        drop(folder);
        let error = RunFolder::create(&named(temporary.path())).unwrap_err();
        assert!(matches!(error, RunFolderError::Used { .. }), "{error}");
        RunFolder::resume(temporary.path()).unwrap();
    }

    #[test]
    fn names_are_numbered_when_taken() {
        let temporary = tempfile::tempdir().unwrap();
        let names: Vec<_> = (0..3).map(|_| RunFolder::create_fresh(temporary.path(), "moons").unwrap()).collect();
        let names: Vec<_> = names.iter().map(|folder| folder.path().file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["moons", "moons-2", "moons-3"]);
    }

    #[test]
    fn two_jobs_do_not_share_a_folder() {
        let temporary = tempfile::tempdir().unwrap();
        let first = RunFolder::create(&named(temporary.path())).unwrap();
        first.write_config("").unwrap();
        let error = RunFolder::resume(temporary.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("in use by process {}", std::process::id())), "{error}");
    }
}
