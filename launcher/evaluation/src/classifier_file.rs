//! A trained classifier on disk.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use twinflow_array::{HostArray, ParamPath, TensorType};
use twinflow_checkpoints::{Checkpoint, CheckpointError, Metadata, named_arrays, save_as};
use twinflow_models::classifier::ClassifierConfig;
use twinflow_nn::Params;
use twinflow_training::classifier::ClassifierTraining;

/// Raised when the network or its training changes in a way that its settings do not say.
const VERSION: u32 = 1;

/// Where a classifier is kept, and what it must have been trained on and how.
pub struct ClassifierFile {
    path: PathBuf,
    key: String,
}

impl ClassifierFile {
    /// The file of a classifier that learnt from data which `checksums` tell from others.
    pub fn new(path: &Path, checksums: &Value, settings: (&ClassifierConfig, &ClassifierTraining), seed: u64) -> Self {
        let key = json!({ "classifier": settings.0, "training": settings.1, "version": VERSION, "seed": seed, "data_checksums": checksums });
        ClassifierFile { path: path.to_owned(), key: key.to_string() }
    }

    /// The parameters, if the file holds them, whole and made with the same data and settings.
    pub fn read(&self, spec: &Params<TensorType>) -> Option<Params<HostArray>> {
        if !self.path.exists() {
            return None;
        }
        match self.try_read(spec) {
            Ok(params) => params,
            Err(error) => {
                tracing::warn!("the classifier is trained anew: {error}");
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

    /// Keeps a classifier. Where that fails, as in a folder that others own, the next evaluation trains again.
    pub fn write(&self, params: &Params<HostArray>, step: u64) {
        let metadata = Metadata {
            step,
            phase: "classifier".into(),
            config: self.key.clone(),
            program: concat!("twinflow-xla ", env!("CARGO_PKG_VERSION")).into(),
            world_size: 1,
            tokenizer: None,
            created: Metadata::now(),
        };
        if let Err(error) = save_as(&self.path, &metadata, &named_arrays(params)) {
            tracing::warn!("the classifier is not kept for the next evaluation: {error}");
        }
    }
}
