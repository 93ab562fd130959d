//! What killed processes left.
//!
//! A partial file is called `NAME.partial-HOST.NAMESPACE-PID-RANDOM`. The process namespace is part of the name because
//! containers of one host each count their processes anew.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
    process,
    time::{Duration, SystemTime},
};

use rustix::{
    io::Errno,
    process::{Pid, test_kill_process},
    system::uname,
};

const MARK: &str = ".partial-";

/// A process of another host is taken for dead if it last wrote this long before the folder's newest whole file was
/// finished: a living writer writes all the time. Both times are the file system's own, so clocks need not agree.
const SILENCE: Duration = Duration::from_secs(3600);

pub(crate) fn prefix(name: &OsStr) -> OsString {
    let mut prefix = name.to_owned();
    prefix.push(format!("{MARK}{}-{}-", process_space(), process::id()));
    prefix
}

/// Where a process's number means something: host and process namespace.
fn process_space() -> String {
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let digits: String = namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
    format!("{}.{digits}", uname().nodename().to_string_lossy())
}

/// Whether a file name is one that [`PartialFile`](crate::PartialFile) writes under.
pub(crate) fn is_partial(name: &str) -> bool {
    name.contains(MARK)
}

/// Deletes the partial files of dead processes from a folder and gives what it deleted; none if there is no folder.
///
/// # Errors
/// The folder cannot be read, or a file not be deleted.
pub fn remove_stale(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?.collect::<io::Result<Vec<_>>>()?,
    };
    // A file may go while the folder is listed.
    let written = |entry: &fs::DirEntry| entry.metadata().and_then(|file| file.modified()).ok();
    let (partial, whole): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| is_partial(&entry.file_name().to_string_lossy()));
    let finished = whole.iter().filter_map(written).max();
    let mut removed = Vec::new();
    for entry in partial {
        if writer_is_dead(&entry.file_name().to_string_lossy()) || is_silent(written(&entry), finished) {
            match fs::remove_file(entry.path()) {
                Ok(()) => removed.push(entry.path()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(removed)
}

/// Whether a partial file's writer was a process of this host and is no more.
fn writer_is_dead(name: &str) -> bool {
    let writer = name.rsplit_once(MARK).map_or("", |(_, writer)| writer);
    let mut fields = writer.rsplitn(3, '-').skip(1);
    let (pid, space) = (fields.next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw), fields.next());
    space.is_some_and(|space| space == process_space())
        && pid.is_some_and(|pid| matches!(test_kill_process(pid), Err(Errno::SRCH)))
}

fn is_silent(written: Option<SystemTime>, finished: Option<SystemTime>) -> bool {
    let silence = written.zip(finished).and_then(|(written, finished)| finished.duration_since(written).ok());
    silence.is_some_and(|silence| silence > SILENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dead_processes_of_this_host_left_goes_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let (here, dead, alive) = (process_space(), child.id(), process::id());
        let left = folder.path().join(format!("a.h5{MARK}{here}-{dead}-x1"));
        let kept = [
            format!("a.h5{MARK}{here}-{alive}-x2"),
            format!("a.h5{MARK}elsewhere.1-{dead}-x3"),
            format!("a.h5{MARK}{here}0-{dead}-x4"),
            "a.h5.partial".to_owned(),
            format!("{here}-{dead}-x5"),
        ];
        kept.iter().for_each(|name| fs::write(folder.path().join(name), "").unwrap());
        fs::write(&left, "").unwrap();
        assert_eq!(remove_stale(folder.path()).unwrap(), [left]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), kept.len());
        assert!(remove_stale(&folder.path().join("none")).unwrap().is_empty());
    }

    #[test]
    fn of_other_hosts_only_what_nobody_writes_any_more_goes() {
        let folder = tempfile::tempdir().unwrap();
        let touch = |name: &str, age: u64| {
            let file = fs::File::create(folder.path().join(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        };
        touch("1.h5.partial-elsewhere.1-7-x", 7200);
        touch("2.h5.partial-elsewhere.1-7-y", 60);
        assert!(remove_stale(folder.path()).unwrap().is_empty(), "nothing whole to compare with");
        touch("3.h5", 0);
        assert_eq!(remove_stale(folder.path()).unwrap(), [folder.path().join("1.h5.partial-elsewhere.1-7-x")]);
    }
}
