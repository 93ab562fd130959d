//! From `[data]` to a source of samples.

use std::{path::Path, sync::Arc};

use miette::{Result, miette};
use twinflow_data::{DEFAULT_CACHE_BYTES, Dataset, Source, Synthetic, Toy2d, Verify};
use twinflow_runtime::console::OrReport;

use super::{DataConfig, DataKind};

/// Opens the dataset.
///
/// # Errors
/// What the data crate says of a missing, foreign or damaged file.
pub fn open_data(data: &DataConfig, seed: u64) -> Result<Arc<dyn Source>> {
    Ok(match data.kind {
        DataKind::Toy => Arc::new(Toy2d::new(data.toy, seed)),
        DataKind::Synthetic => {
            let shape = [data.height, data.width, data.channels];
            let labelled = Synthetic::new(shape, data.classes, seed);
            Arc::new(labelled.and_then(|labelled| labelled.with_text(data.text_shape())).or_report()?)
        }
        DataKind::Hdf5 => {
            let verify = if data.verify { Verify::Yes } else { Verify::No };
            let dataset = Dataset::open(&data.path, verify);
            let cached = dataset.and_then(|dataset| dataset.cached(DEFAULT_CACHE_BYTES));
            Arc::new(cached.map_err(|error| miette!(help = named_by(&data.path), "{error}"))?)
        }
    })
}

/// Where a path comes from, for messages about what it names.
fn named_by(path: &Path) -> String {
    let folder = std::env::current_dir().ok().filter(|_| path.is_relative());
    let relative = folder.map_or(String::new(), |folder| format!(", relative to {}", folder.display()));
    format!("the file is named by data.path{relative}; a run goes on with another by --resume and --set data.path=FILE")
}
