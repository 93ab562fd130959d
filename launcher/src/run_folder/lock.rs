//! One job per run folder: the system's lock, and where the file system has none, a file that only one can create.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{
    RunFolderError, cannot,
    owner::{self, Owner},
};

/// Locked by the system and never deleted: else two jobs could lock two files of one name.
const LOCK: &str = "lock";
/// Exists while its job runs, where the system locks nothing.
const HELD: &str = "lock.held";

/// Answers of flock where a file system cannot lock: ENOLCK (NFS without its lock daemon), ENOSYS (Lustre without -o
/// flock), EOPNOTSUPP, and the kernel's own ENOTSUPP, which some gateways let through.
const NO_LOCKS: [i32; 4] = [37, 38, 95, 524];

/// A folder that is this job's alone until the lock is dropped.
#[derive(Debug)]
pub struct RunLock {
    /// The lock goes with the open file, also when the process is killed.
    _file: File,
    held: Option<PathBuf>,
}

impl RunLock {
    /// Locks a folder.
    ///
    /// # Errors
    /// [`RunFolderError::InUse`], [`RunFolderError::HeldElsewhere`], [`RunFolderError::File`].
    pub fn take(folder: &Path) -> Result<Self, RunFolderError> {
        let path = folder.join(LOCK);
        let refuse = cannot("lock", &path);
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(&path).map_err(refuse)?;
        let held = match file.try_lock() {
            Ok(()) => None,
            Err(TryLockError::WouldBlock) => return Err(RunFolderError::in_use(folder, &path)),
            Err(TryLockError::Error(error)) if error.raw_os_error().is_some_and(|code| NO_LOCKS.contains(&code)) => {
                Some(hold(folder, &error)?)
            }
            Err(TryLockError::Error(error)) => return Err(refuse(error).into()),
        };
        file.set_len(0).and_then(|()| writeln!(file, "{}", Owner::this_process())).map_err(refuse)?;
        Ok(RunLock { _file: file, held })
    }

    /// The error for a folder that another job uses just now; none if no job does.
    pub fn refusal(folder: &Path) -> Option<RunFolderError> {
        let (lock, held) = (folder.join(LOCK), folder.join(HELD));
        match File::open(&lock).map(|file| file.try_lock_shared()) {
            Ok(Err(TryLockError::WouldBlock)) => Some(RunFolderError::in_use(folder, &lock)),
            Ok(Err(TryLockError::Error(_))) if owner::read(&held)?.is_alive() != Some(false) => {
                Some(held_by_another(folder, held))
            }
            _ => None,
        }
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        if let Some(held) = &self.held {
            fs::remove_file(held).ok();
        }
    }
}

/// Creates the file that stands in for a lock.
fn hold(folder: &Path, no_locks: &io::Error) -> Result<PathBuf, RunFolderError> {
    let held = folder.join(HELD);
    let refuse = cannot("lock", &held);
    while !owner::create(&held, &Owner::this_process()).map_err(refuse)? {
        match owner::read(&held).filter(|owner| owner.is_alive() == Some(false)) {
            Some(dead) => owner::remove(&held, &dead).map_err(refuse)?,
            None => return Err(held_by_another(folder, held)),
        }
    }
    let (folder, name) = (folder.display(), held.display());
    tracing::warn!("the file system of {folder} cannot lock files ({no_locks}); {name} keeps other jobs away");
    Ok(held)
}

/// Another machine's processes cannot be seen from here, so a person must say that such a job is over.
fn held_by_another(folder: &Path, held: PathBuf) -> RunFolderError {
    match owner::read(&held) {
        Some(owner) if owner.is_alive() == Some(true) => RunFolderError::in_use(folder, &held),
        owner => RunFolderError::HeldElsewhere {
            path: folder.to_owned(),
            holder: owner.map_or("another job".to_owned(), |owner| owner.name()),
            held,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold_in(folder: &Path) -> Result<PathBuf, RunFolderError> {
        hold(folder, &io::Error::from_raw_os_error(NO_LOCKS[0]))
    }

    #[test]
    fn without_locks_a_file_is_held_by_one_and_taken_over_from_the_dead() {
        let temporary = tempfile::tempdir().unwrap();
        let held = hold_in(temporary.path()).unwrap();
        let error = hold_in(temporary.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("in use by process {}", std::process::id())), "{error}");

        let dead = Owner { started: 1, ..Owner::this_process() };
        fs::write(&held, dead.to_string()).unwrap();
        hold_in(temporary.path()).unwrap();
        assert_eq!(owner::read(&held), Some(Owner::this_process()));
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn without_locks_another_hosts_file_is_refused_by_name() {
        let temporary = tempfile::tempdir().unwrap();
        let other = Owner { host: "node7".into(), ..Owner::this_process() };
        fs::write(temporary.path().join(HELD), other.to_string()).unwrap();
        let error = hold_in(temporary.path()).unwrap_err();
        let help = miette::Diagnostic::help(&error).unwrap().to_string();
        assert!(error.to_string().contains("node7") && help.contains("lock.held"), "{error}\n{help}");
    }
}
