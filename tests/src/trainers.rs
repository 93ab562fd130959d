//! Training steps for tests and studies.

use twinflow_array::{DType, HostArray};
use twinflow_data::{BatchPlan, Shard};
use twinflow_methods::MethodsConfig;
use twinflow_models::{
    denoisers::{DataSpec, ModelConfig},
    encoders::TextEncoderConfig,
};
use twinflow_training::{Batch, Precision, StepConfig, Trainer, optim::OptimizerConfig};

/// The settings of a TwinFlow step of a model on one device: default parts, order 2, AdamW.
pub fn dit_step(model: ModelConfig, sample: [usize; 3], batch_size: usize) -> StepConfig {
    StepConfig {
        model,
        text_encoder: TextEncoderConfig::default(),
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
        data: DataSpec::labelled(sample, 10),
        image_dtype: DType::F32,
    }
}

/// The rows of the global batch that a device works on, micro-batch by micro-batch: the batch's `rows`.
pub fn rows(config: &StepConfig, trainer: &Trainer, rank: usize, device: usize) -> Vec<u32> {
    let parts: Vec<usize> = trainer.parts().iter().map(|part| part.size).collect();
    let plan = BatchPlan::new(&parts, config.processes, config.micro_batches, config.devices);
    let plan = plan.expect("the trainer has checked that the batch can be dealt out");
    let shard = |micro_batch| plan.global_positions(Shard { rank, micro_batch, device });
    (0..config.micro_batches).flat_map(shard).map(|row| row as u32).collect()
}

/// A batch of these pixels and labels; the label that follows the classes means none.
pub fn batch(config: &StepConfig, trainer: &Trainer, images: &[f32], labels: &[i32], rows: &[u32]) -> Batch<HostArray> {
    let spec = trainer.batch_spec();
    let mut condition = spec.condition.null(config.data.classes);
    condition.labels =
        spec.condition.labels.map(|ty| HostArray::from_slice(&ty.shape, labels).expect("a label for each sample"));
    Batch {
        images: HostArray::from_slice(&spec.images.shape, images).expect("pixels for each sample"),
        condition,
        null_condition: spec.null_condition.null(config.data.classes),
        rows: HostArray::from_slice(&spec.rows.shape, rows).expect("a row for each sample"),
    }
}
