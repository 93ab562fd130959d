//! Logs: a file per rank in the run folder, warnings of rank 0 on the terminal.

use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal, Write, stderr},
    path::Path,
    sync::Mutex,
};

use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

/// Chooses what is logged, in the syntax of `tracing` filters: TWINFLOW_LOG=debug.
const VARIABLE: &str = "TWINFLOW_LOG";

static RANK_LOG: Mutex<RankLog> = Mutex::new(RankLog::Waiting(Vec::new()));

/// The run folder is made last of all that a start does, and warnings of what comes before belong into its log too.
enum RankLog {
    Waiting(Vec<u8>),
    Open(File),
}

/// Starts logging: warnings to the terminal where `to_terminal`, and where `to_file` everything to the file that
/// [`open_file`] names.
pub fn start(to_terminal: bool, to_file: bool) {
    let filter = |default: &str| EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(default));
    let file = to_file.then(|| {
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(|| ToRankLog);
        layer.with_filter(filter("info"))
    });
    let terminal = to_terminal.then(|| {
        let layer = tracing_subscriber::fmt::layer().without_time().with_target(false).with_ansi(has_colours());
        layer.with_writer(stderr).with_filter(filter("warn"))
    });
    // A second start keeps the first logger.
    let _ = tracing_subscriber::registry().with(file).with(terminal).try_init();
}

/// Opens `folder`/rank-K.log. Without it, as on a full disk, the run goes on.
pub fn open_file(folder: &Path, rank: usize) {
    let path = folder.join(format!("rank-{rank}.log"));
    let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path) else { return };
    let Ok(mut log) = RANK_LOG.lock() else { return };
    if let RankLog::Waiting(lines) = &*log {
        file.write_all(lines).ok();
    }
    *log = RankLog::Open(file);
}

/// No colours in a file or pipe, nor where the user wants none (no-color.org).
fn has_colours() -> bool {
    stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

struct ToRankLog;

impl Write for ToRankLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match RANK_LOG.lock() {
            Ok(mut log) => match &mut *log {
                RankLog::Waiting(lines) => lines.write(bytes),
                RankLog::Open(file) => file.write(bytes),
            },
            Err(_) => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
