//! What XLA logs goes to the rank's log: its alarms ("Very slow compile? .. file a bug") are not for the user's screen.
//!
//! XLA's libraries write to the process's standard error themselves. While a run goes on that is a pipe, and a thread
//! passes on what comes through it: XLA's lines to the log, all else (MPI's messages, the allocator's, ours) to the real
//! standard error. What ends the process takes the real one back before it speaks.

use std::{
    fs::File,
    io::{self, PipeReader, Read, Write, stderr},
    os::fd::AsFd,
    panic,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use signal_hook::{consts::SIGABRT, low_level};

/// Standard error as the process got it.
static TERMINAL: OnceLock<File> = OnceLock::new();
/// Whether the thread has passed on all there was.
static DRAINED: AtomicBool = AtomicBool::new(false);

/// The filter of this process, at work until dropped.
pub struct StderrFilter;

impl StderrFilter {
    /// Starts the filter; once in a process.
    ///
    /// # Errors
    /// The system has no file descriptor or thread left.
    pub fn start() -> io::Result<Self> {
        let terminal = terminal()?;
        let (reader, writer) = io::pipe()?;
        let forwarded = terminal.try_clone()?;
        thread::Builder::new().name("stderr".into()).spawn(move || {
            forward(reader, forwarded, |line| tracing::info!(target: "xla", "{line}"));
            DRAINED.store(true, Ordering::Release);
        })?;
        TERMINAL.set(terminal).map_err(|_| io::ErrorKind::AlreadyExists)?;
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            take_back();
            before(info);
        }));
        // SAFETY: take_back only calls dup2 and nanosleep and reads atomics and the clock.
        unsafe { low_level::register(SIGABRT, take_back) }?;
        rustix::stdio::dup2_stderr(writer)?;
        Ok(StderrFilter)
    }
}

impl Drop for StderrFilter {
    fn drop(&mut self) {
        take_back();
    }
}

/// The user's standard error, be it filtered or not.
///
/// # Errors
/// The system has no file descriptor left.
pub fn terminal() -> io::Result<File> {
    TERMINAL.get().map_or_else(|| Ok(File::from(stderr().as_fd().try_clone_to_owned()?)), File::try_clone)
}

/// Makes the real standard error the process's again, after what is still in the pipe.
fn take_back() {
    // The pipe ends with its last writer, which standard error was.
    let Some(terminal) = TERMINAL.get() else { return };
    let began = Instant::now();
    let given_back = rustix::stdio::dup2_stderr(terminal).is_ok();
    // Not for ever: a child process may hold the pipe open, or the thread may be the one that aborts.
    while given_back && !DRAINED.load(Ordering::Acquire) && began.elapsed() < Duration::from_secs(1) {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Passes lines on as they come; parts of lines too, since nobody else's may wait for a line break.
fn forward(mut from: PipeReader, mut terminal: impl Write, mut log: impl FnMut(&str)) {
    let mut buffer = vec![0; 1 << 16];
    let mut in_entry = false;
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        for line in buffer[..read].split_inclusive(|byte| *byte == b'\n') {
            in_entry = starts_entry(line) || in_entry && continues_entry(line);
            if in_entry {
                log(String::from_utf8_lossy(line).trim_end());
            } else {
                // Nobody is left to tell that standard error cannot be written.
                terminal.write_all(line).ok();
            }
        }
    }
}

/// `E0000 00:00:1748..` or `W1128 12:19:07.`: severity, month and day, time (Abseil's log). Fatal ones (F) are the last
/// words of the process, and everybody's.
fn starts_entry(line: &[u8]) -> bool {
    let digits = |range| line.get(range).is_some_and(|part: &[u8]| part.iter().all(u8::is_ascii_digit));
    let dated = matches!(line.first(), Some(b'I' | b'W' | b'E')) && digits(1..5) && line.get(5) == Some(&b' ');
    dated && digits(6..8) && line.get(8) == Some(&b':')
        || line.starts_with(b"WARNING: All log messages before absl::InitializeLog()")
}

/// The alarm's other lines: a frame of asterisks around `[Compiling module step] Very slow compile? ..`.
fn continues_entry(line: &[u8]) -> bool {
    matches!(line.first(), Some(b'*' | b'[' | b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALARM: &str = "E0000 00:00:1748000000.123456    4242 slow_operation_alarm.cc:73] \n\
        ********************************\n\
        [Compiling module jit_step] Very slow compile? If you'd like to file a bug, run with envvar ..\n\
        ********************************\n";

    #[test]
    fn alarms_go_to_the_log_and_all_else_to_the_terminal() {
        let (reader, mut writer) = io::pipe().unwrap();
        write!(writer, "step 1\n{ALARM}F0000 00:00:1748000000.123456 1 x.cc:1] Check failed\nno line break").unwrap();
        drop(writer);
        let (mut terminal, mut log) = (Vec::new(), Vec::new());
        forward(reader, &mut terminal, |line| log.push(line.to_owned()));
        let terminal = String::from_utf8(terminal).unwrap();
        assert!(terminal.starts_with("step 1\nF0000") && terminal.ends_with("no line break"), "{terminal}");
        assert_eq!(log.join("\n"), ALARM.trim_end().replace("] \n", "]\n"));
    }

    #[test]
    fn a_panic_or_the_end_gives_standard_error_back() {
        let filter = StderrFilter::start().unwrap();
        assert!(TERMINAL.get().is_some() && !DRAINED.load(Ordering::Acquire));
        eprint!("");
        drop(filter);
        assert!(DRAINED.load(Ordering::Acquire), "something is still in the pipe");
    }
}
