//! Training steps for tests and studies.

use twinflow_array::DType;
use twinflow_methods::MethodsConfig;
use twinflow_models::denoisers::{DataSpec, ModelConfig};
use twinflow_training::{Precision, StepConfig, optim::OptimizerConfig};

/// The settings of a TwinFlow step of a model on one device: default parts, order 2, AdamW.
pub fn dit_step(model: ModelConfig, sample: [usize; 3], batch_size: usize) -> StepConfig {
    StepConfig {
        model,
        methods: MethodsConfig::default(),
        optimizer: OptimizerConfig::default(),
        freeze: Vec::new(),
        steps: 100,
        batch_size,
        micro_batches: 1,
        precision: Precision::F32,
        ema_decay: 0.99,
        processes: 1,
        devices: 1,
        data: DataSpec { sample, classes: 10 },
        image_dtype: DType::F32,
    }
}
