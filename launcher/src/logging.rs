//! Logs: a file per rank in the run folder, warnings of rank 0 on the terminal.

use std::{fs::OpenOptions, path::Path, sync::Mutex};

use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

/// Chooses what is logged, in the syntax of `tracing` filters: TWINFLOW_LOG=debug.
const VARIABLE: &str = "TWINFLOW_LOG";

/// Starts logging: to `folder`/rank-K.log if a folder is given, and warnings to the terminal where `to_terminal`.
pub fn start(folder: Option<&Path>, rank: usize, to_terminal: bool) {
    let filter = |default: &str| EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(default));
    let file = folder.and_then(|folder| {
        let path = folder.join(format!("rank-{rank}.log"));
        OpenOptions::new().create(true).append(true).open(path).ok()
    });
    let file = file.map(|file| {
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(Mutex::new(file));
        layer.with_filter(filter("info"))
    });
    let terminal = to_terminal.then(|| {
        let layer = tracing_subscriber::fmt::layer().without_time().with_target(false).with_writer(std::io::stderr);
        layer.with_filter(filter("warn"))
    });
    // A second start keeps the first logger.
    let _ = tracing_subscriber::registry().with(file).with(terminal).try_init();
}
