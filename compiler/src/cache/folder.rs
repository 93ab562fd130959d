//! The files of a cache: written whole or not at all, and never too many.

use std::{
    fs::{self, DirBuilder, File, FileTimes, OpenOptions},
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, ErrorKind, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{entry, key::Key};

const ENDING: &str = "xla";
const TEMPORARY: &str = "tmp";

/// An unfinished file older than this belongs to a process that is gone.
const ABANDONED: Duration = Duration::from_secs(3600);

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
        let (temporary, mut file) = self.create_temporary()?;
        // Readers, on other machines too, see the whole file or none; of several writers the last one wins.
        let written = file
            .write_all(&header)
            .and_then(|()| file.write_all(executable))
            .and_then(|()| fs::rename(&temporary, self.file(key)));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written.and_then(|()| self.trim())
    }

    pub fn usage(&self) -> io::Result<CacheUsage> {
        let stored = self.stored()?;
        Ok(CacheUsage { programs: stored.len(), bytes: stored.iter().map(|program| program.bytes).sum() })
    }

    pub fn check_writable(&self) -> io::Result<()> {
        let (temporary, _) = self.create_temporary()?;
        fs::remove_file(temporary)
    }

    fn file(&self, key: &Key) -> PathBuf {
        self.path.join(format!("{key}.{ENDING}"))
    }

    /// A new file of a name that no other process has, also on other machines.
    fn create_temporary(&self) -> io::Result<(PathBuf, File)> {
        // Programs are run, so nobody else may write them.
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        let random = RandomState::new().build_hasher().finish();
        let path = self.path.join(format!("{random:016x}-{}.{TEMPORARY}", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok((path, file))
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
        let abandoned = self.files(TEMPORARY)?;
        let abandoned = abandoned.iter().filter(|file| file.used.elapsed().is_ok_and(|age| age > ABANDONED));
        // Another process may have been faster.
        too_many.chain(abandoned).for_each(|file| drop(fs::remove_file(&file.path)));
        Ok(())
    }

    fn stored(&self) -> io::Result<Vec<Stored>> {
        self.files(ENDING)
    }

    fn files(&self, ending: &str) -> io::Result<Vec<Stored>> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let paths = entries.flatten().map(|entry| entry.path());
        let paths = paths.filter(|path| path.extension().is_some_and(|found| found == ending));
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
        let (old, file) = folder.create_temporary().unwrap();
        file.set_times(FileTimes::new().set_modified(SystemTime::now() - 2 * ABANDONED)).unwrap();
        let (young, _) = folder.create_temporary().unwrap();
        folder.write(&Key::of_text("key"), b"program").unwrap();
        assert!(!old.exists() && young.exists());
    }
}
