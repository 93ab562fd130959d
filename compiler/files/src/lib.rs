//! Files that appear whole or not at all: written under a temporary name in the same folder, flushed to the disk, then
//! renamed. A process killed at any moment leaves the old file or the new one, and at most a partial file whose name
//! tells who wrote it.

mod stale;

use std::{
    fs::{File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

pub use stale::remove_stale;

/// A file on its way to `target`. Dropped without [`PartialFile::publish`], it leaves nothing behind.
#[derive(Debug)]
pub struct PartialFile {
    temporary: NamedTempFile,
    target: PathBuf,
}

impl PartialFile {
    /// An empty file, with the umask's mode, beside `target`, whose folder exists.
    ///
    /// # Errors
    /// The system's.
    pub fn create(target: &Path) -> io::Result<Self> {
        let name = target.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
        let temporary = tempfile::Builder::new()
            .prefix(&stale::prefix(name))
            // The system takes the umask's bits away; the default would keep others from reading, for ever.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder_of(target))?;
        Ok(PartialFile { temporary, target: target.to_owned() })
    }

    /// Where to write, for libraries that open files by name. They must keep this file, not put another in its place.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// The file, open for reading and writing.
    pub fn file(&mut self) -> &mut File {
        self.temporary.as_file_mut()
    }

    /// Puts the file in its place once it is on the disk; one that is there is replaced.
    ///
    /// # Errors
    /// The system's, such as a full disk that a network file system reports only now.
    pub fn publish(self) -> io::Result<()> {
        self.temporary.as_file().sync_all()?;
        self.temporary.persist(&self.target).map_err(|refusal| refusal.error)?;
        File::open(folder_of(&self.target))?.sync_all()
    }
}

/// Puts `content` at `target`.
///
/// # Errors
/// The system's; `target` is then as it was.
pub fn write(target: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    let mut partial = PartialFile::create(target)?;
    partial.file().write_all(content.as_ref())?;
    partial.publish()
}

/// The folder that holds `path`; the current one for a bare name.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::{env, fs, process::Command};

    use super::*;

    #[test]
    fn write_here() {
        // The next test runs this one again, under other umasks.
        if let Some(target) = env::var_os("TWINFLOW_TEST_TARGET") {
            write(Path::new(&target), "text").unwrap();
        }
    }

    #[test]
    fn a_file_has_the_mode_that_the_umask_leaves() {
        let folder = tempfile::tempdir().unwrap();
        for (umask, mode) in [("022", 0o644), ("007", 0o660), ("077", 0o600)] {
            let target = folder.path().join(umask);
            let script = "umask $1 && exec \"$0\" --exact tests::write_here";
            let mut command = Command::new("sh");
            command.args(["-c", script]).arg(env::current_exe().unwrap()).arg(umask);
            assert!(command.env("TWINFLOW_TEST_TARGET", &target).output().unwrap().status.success());
            assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, mode, "umask {umask}");
        }
    }

    #[test]
    fn what_cannot_be_replaced_stays_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir_all(path.join("by a folder")).unwrap();
        write(&path, "text").unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::remove_dir_all(&path).unwrap();
        write(&path, "text").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
    }

    #[test]
    fn a_file_that_is_not_finished_shows_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("model.h5");
        fs::write(&target, "old").unwrap();
        let partial = PartialFile::create(&target).unwrap();
        fs::write(partial.path(), "half of the n").unwrap();
        assert!(stale::is_partial(&partial.path().file_name().unwrap().to_string_lossy()));
        drop(partial);
        assert_eq!(fs::read_to_string(&target).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
