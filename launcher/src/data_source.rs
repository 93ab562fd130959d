//! From `[data]` to a source of samples.

use std::sync::Arc;

use miette::{Result, miette};
use twinflow_data::{DEFAULT_CACHE_BYTES, Dataset, Source, Synthetic, Toy2d, Verify};

use crate::config::{DataConfig, DataKind};
use crate::said::Said;

/// Opens the dataset, and writes what it holds (sizes, element type, classes) into the settings, from where checkpoints have it.
///
/// # Errors
/// What the data crate says of a missing, foreign or damaged file.
pub fn open(data: &mut DataConfig, seed: u64) -> Result<Arc<dyn Source>> {
    let source: Arc<dyn Source> = match data.kind {
        DataKind::Toy => Arc::new(Toy2d::new(data.toy, seed)),
        DataKind::Synthetic => {
            let shape = [data.height, data.width, data.channels];
            Arc::new(Synthetic::new(shape, data.classes, seed).said()?)
        }
        DataKind::Hdf5 => {
            let verify = if data.verify { Verify::Yes } else { Verify::No };
            let dataset = Dataset::open(&data.path, verify);
            let cached = dataset.and_then(|dataset| dataset.cached(DEFAULT_CACHE_BYTES));
            Arc::new(cached.map_err(|error| {
                let help =
                    "the file is named by data.path; a run goes on with another by --resume and --set data.path=FILE";
                miette!(help = help, "{error}")
            })?)
        }
    };
    [data.height, data.width, data.channels] = source.sample_shape();
    data.sample_dtype = source.image_type().dtype;
    data.classes = source.classes();
    Ok(source)
}
