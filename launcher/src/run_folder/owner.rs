//! The process that a lock file names.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, ErrorKind, Write},
    path::Path,
};

use super::host;

/// A process, told from others that had its number before or have it on another machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub process: u32,
    pub host: String,
    /// Of the process's number: containers of one host each count their own.
    pub namespace: String,
    /// Clock ticks from the machine's start to the process's; 0 where there is no /proc.
    pub started: u64,
}

impl Owner {
    pub fn this_process() -> Self {
        let process = std::process::id();
        Owner { process, host: host(), namespace: namespace(), started: start_of(process).unwrap_or(0) }
    }

    /// For a message.
    pub fn name(&self) -> String {
        format!("process {} on {}", self.process, self.host)
    }

    /// Whether the process runs; none if it is another machine's or container's.
    pub fn is_alive(&self) -> Option<bool> {
        (self.host == host() && self.namespace == namespace()).then(|| start_of(self.process) == Some(self.started))
    }

    fn parse(text: &str) -> Option<Self> {
        let (process, rest) = text.trim().strip_prefix("process ")?.split_once(" on ")?;
        let (host, rest) = rest.split_once(", namespace ")?;
        let (namespace, started) = rest.split_once(", started at tick ")?;
        let (host, namespace) = (host.to_owned(), namespace.to_owned());
        Some(Owner { process: process.parse().ok()?, host, namespace, started: started.parse().ok()? })
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, namespace {}, started at tick {}", self.name(), self.namespace, self.started)
    }
}

/// As the kernel names it, `pid:[4026531836]`; empty where there is no /proc.
fn namespace() -> String {
    fs::read_link("/proc/self/ns/pid").unwrap_or_default().to_string_lossy().into_owned()
}

/// Field 22 of /proc/N/stat; the name in field 2 may hold spaces and brackets.
fn start_of(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Creates a file that names `owner`; false if there is a file.
///
/// # Errors
/// The system's.
pub fn create(path: &Path, owner: &Owner) -> io::Result<bool> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
        Ok(mut file) => {
            let written = file.write_all(format!("{owner}\n").as_bytes());
            // A file that names nobody would keep everybody away.
            written.map(|()| true).inspect_err(|_| drop(fs::remove_file(path)))
        }
    }
}

/// The process that a file names, if it names one.
pub fn read(path: &Path) -> Option<Owner> {
    Owner::parse(&fs::read_to_string(path).ok()?)
}

/// Removes the file of a dead process. Where another job was quicker and holds it by now, it stays that job's.
///
/// # Errors
/// The system's.
pub fn remove(path: &Path, dead: &Owner) -> io::Result<()> {
    let aside = path.with_extension(format!("dead-{}", std::process::id()));
    match fs::rename(path, &aside) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) if read(&aside).as_ref() == Some(dead) => fs::remove_file(&aside),
        Ok(()) => fs::rename(&aside, path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start() {
        let own = Owner::this_process();
        assert_eq!(Owner::parse(&format!("{own}\n")), Some(own.clone()));
        assert_eq!(own.is_alive(), Some(true));
        assert_eq!(Owner { started: own.started + 1, ..own.clone() }.is_alive(), Some(false));
        assert_eq!(Owner { host: "elsewhere".into(), ..own }.is_alive(), None);
    }
}
