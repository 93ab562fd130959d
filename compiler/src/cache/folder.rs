//! The files of a cache: written whole or not at all, and never too many.

use std::{
    fs::{self, DirBuilder, FileTimes, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use twinflow_files::{PartialFile, remove_stale};

use super::{entry, key::Key};

const ENDING: &str = "xla";

/// What a cache's folder holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheUsage {
    /// Programs.
    pub programs: usize,
    /// Their bytes.
    pub bytes: u64,
}

#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    most_bytes: u64,
}

struct Stored {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

impl Folder {
    pub fn new(path: PathBuf, most_bytes: u64) -> Self {
        Folder { path, most_bytes }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The executable stored under a key; `None` if there is none or it is damaged.
    pub fn read(&self, key: &Key) -> io::Result<Option<Vec<u8>>> {
        let path = self.file(key);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match entry::executable(key, &bytes) {
            Ok(executable) => {
                // The time of last use decides what goes first. A folder of another user may be read all the same.
                let now = FileTimes::new().set_modified(SystemTime::now());
                let _ = OpenOptions::new().append(true).open(&path).and_then(|file| file.set_times(now));
                Ok(Some(executable.to_vec()))
            }
            Err(damage) => {
                tracing::info!(path = %path.display(), %damage, "a stored program is damaged; it is compiled again");
                Ok(None)
            }
        }
    }

    /// Stores an executable, in place of a damaged one too, and deletes others that there is no more room for.
    pub fn write(&self, key: &Key, executable: &[u8]) -> io::Result<()> {
        let header = entry::header(key, executable);
        if (header.len() + executable.len()) as u64 > self.most_bytes {
            return Ok(());
        }
        // Readers, on other machines too, see the whole file or none; of several writers the last one wins.
        let mut partial = self.create(&self.file(key))?;
        partial.file().write_all(&header)?;
        partial.file().write_all(executable)?;
        partial.publish()?;
        self.trim()
    }

    pub fn usage(&self) -> io::Result<CacheUsage> {
        let stored = self.stored()?;
        Ok(CacheUsage { programs: stored.len(), bytes: stored.iter().map(|program| program.bytes).sum() })
    }

    pub fn check_writable(&self) -> io::Result<()> {
        self.create(&self.path.join("check")).map(drop)
    }

    fn file(&self, key: &Key) -> PathBuf {
        self.path.join(format!("{key}.{ENDING}"))
    }

    fn create(&self, path: &Path) -> io::Result<PartialFile> {
        // Programs are run, so nobody else may write them.
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        PartialFile::create(path)
    }

    /// Deletes the programs unused for longest until the rest fits, and what killed processes left behind.
    fn trim(&self) -> io::Result<()> {
        let mut stored = self.stored()?;
        stored.sort_by_key(|program| program.used);
        let mut bytes: u64 = stored.iter().map(|program| program.bytes).sum();
        let too_many = stored.iter().take_while(|program| {
            let over = bytes > self.most_bytes;
            bytes -= program.bytes;
            over
        });
        // Another process may have been faster.
        too_many.for_each(|file| drop(fs::remove_file(&file.path)));
        remove_stale(&self.path).map(drop)
    }

    fn stored(&self) -> io::Result<Vec<Stored>> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let paths = entries.flatten().map(|entry| entry.path());
        let paths = paths.filter(|path| path.extension().is_some_and(|found| found == ENDING));
        // A file may go while the folder is listed.
        let stored = |path: PathBuf| {
            let file = fs::metadata(&path).ok()?;
            Some(Stored { bytes: file.len(), used: file.modified().ok()?, path })
        };
        Ok(paths.filter_map(stored).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn age(folder: &Folder, key: &Key, seconds: u64) {
        let then = SystemTime::now() - Duration::from_secs(seconds);
        let file = OpenOptions::new().append(true).open(folder.file(key)).unwrap();
        file.set_times(FileTimes::new().set_modified(then)).unwrap();
    }

    #[test]
    fn programs_unused_for_longest_go_first() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::new(temporary.path().join("a/b"), 3 * 1100);
        let keys = ["0", "1", "2", "3"].map(Key::of_text);
        for (key, seconds) in keys[..3].iter().zip([30, 20, 10]) {
            folder.write(key, &[1; 1000]).unwrap();
            age(&folder, key, seconds);
        }
        assert!(folder.read(&keys[0]).unwrap().is_some(), "now the second is the oldest");
        folder.write(&keys[3], &[1; 1000]).unwrap();
        let there = keys.each_ref().map(|key| folder.read(key).unwrap().is_some());
        assert_eq!(there, [true, false, true, true]);
        assert_eq!(folder.usage().unwrap(), CacheUsage { programs: 3, bytes: 3 * 1080 });
        folder.write(&Key::of_text("large"), &[1; 4000]).unwrap();
        assert_eq!(folder.usage().unwrap().programs, 3, "what can never fit drives nothing out");
    }

    #[test]
    fn what_killed_processes_left_is_cleared_away() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::new(temporary.path().to_owned(), 1 << 20);
        let unfinished = || folder.create(&folder.file(&Key::of_text("key"))).unwrap();
        let (mut old, young) = (unfinished(), unfinished());
        old.file().set_modified(SystemTime::now() - Duration::from_secs(7200)).unwrap();
        folder.write(&Key::of_text("key"), b"program").unwrap();
        assert!(!old.path().exists() && young.path().exists());
    }
}
