//! A trained judge on disk.

use std::path::{Path, PathBuf};

use serde_json::json;
use twinflow_array::{HostArray, ParamPath, Place, TensorType, Tree};
use twinflow_checkpoints::{Checkpoint, CheckpointError, Metadata, save_as};
use twinflow_data::DatasetInfo;
use twinflow_graphs::{
    Params,
    judge::{Judge, JudgeConfig},
};

/// Raised when the network or its training changes in a way that [`JudgeConfig`] does not say.
const VERSION: u32 = 1;

/// Where a judge is kept, and what it must have been trained on and how.
pub struct JudgeFile {
    path: PathBuf,
    key: String,
}

impl JudgeFile {
    /// The file of the judge of a dataset.
    pub fn new(path: &Path, data: &DatasetInfo, config: &JudgeConfig, seed: u64) -> Self {
        let checksums = [data.checksums.images, data.checksums.labels];
        let key = json!({ "judge": config, "version": VERSION, "seed": seed, "data_checksums": checksums });
        JudgeFile { path: path.to_owned(), key: key.to_string() }
    }

    /// The judge's parameters, if the file holds them, whole and made with the same data and settings.
    pub fn read(&self, judge: &Judge) -> Option<Params<HostArray>> {
        if !self.path.exists() {
            return None;
        }
        match self.try_read(&judge.parameter_spec()) {
            Ok(params) => params,
            Err(error) => {
                tracing::warn!("the judge is trained anew: {error}");
                None
            }
        }
    }

    fn try_read(&self, spec: &Params<TensorType>) -> Result<Option<Params<HostArray>>, CheckpointError> {
        let checkpoint = Checkpoint::open(&self.path)?;
        if checkpoint.metadata().config != self.key {
            return Ok(None);
        }
        checkpoint.restore_into(spec, &ParamPath::root()).map(Some)
    }

    /// Keeps a judge. Where that fails, as in a folder that others own, the next evaluation trains again.
    pub fn write(&self, params: &Params<HostArray>, step: u64) {
        let metadata = Metadata {
            step,
            phase: "judge".into(),
            config: self.key.clone(),
            program: concat!("twinflow-xla ", env!("CARGO_PKG_VERSION")).into(),
            world_size: 1,
            created: Metadata::now(),
        };
        let mut arrays = Vec::new();
        params.visit(&Place::root(), &mut |place, array| arrays.push((place.path().clone(), array.clone())));
        if let Err(error) = save_as(&self.path, &metadata, &arrays) {
            tracing::warn!("the judge is not kept for the next evaluation: {error}");
        }
    }
}
