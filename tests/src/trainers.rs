//! Training steps for tests and studies.

use twinflow_array::DType;
use twinflow_graphs::{
    flow::FlowConfig,
    models::ModelConfig,
    optim::OptimizerConfig,
    step::{Precision, StepConfig},
    twinflow::TwinFlowConfig,
};

/// The settings of a TwinFlow step of a model on one device: default parts, order 2, AdamW.
pub fn dit_step(model: ModelConfig, sample: [usize; 3], batch_size: usize) -> StepConfig {
    StepConfig {
        model,
        flow: FlowConfig::default(),
        twinflow: TwinFlowConfig::default(),
        optimizer: OptimizerConfig::default(),
        steps: 100,
        batch_size,
        micro_batches: 1,
        precision: Precision::F32,
        ema_decay: 0.99,
        processes: 1,
        devices: 1,
        sample,
        sample_dtype: DType::F32,
        classes: 10,
    }
}
