//! Four points in the plane, to be learnt without classes.

use twinflow_array::HostArray;
use twinflow_methods::{
    flow_matching::FlowConfig,
    twinflow::{TeacherKind, TwinFlowConfig},
};
use twinflow_models::denoisers::{DataSpec, MlpConfig, ModelConfig};
use twinflow_tests::trainers;
use twinflow_training::{Batch, StepConfig, Trainer, optim::OptimizerConfig};

/// The coordinates of the four points, up to sign.
const COORDINATE: f64 = 0.7;

/// Length of the flow-matching phase.
pub const FLOW_STEPS: u64 = 400;

/// A small model of the points.
pub fn config() -> StepConfig {
    let model = ModelConfig::Mlp(MlpConfig { width: 64, depth: 2, ..Default::default() });
    let mut config = StepConfig {
        optimizer: OptimizerConfig { learning_rate: 2e-3, warmup_steps: 50, ..Default::default() },
        steps: 900,
        ema_decay: 0.98,
        data: DataSpec::labelled([1, 1, 2], 1),
        ..trainers::dit_step(model, [1, 1, 2], 64)
    };
    config.methods.flow = FlowConfig { steps: FLOW_STEPS, ..Default::default() };
    config.methods.twinflow = TwinFlowConfig { guidance: 0.0, teacher_warmup: false, ..Default::default() };
    config
}

/// TwinFlow on the model's own points, taught by the frozen model of the first phase.
pub fn image_free() -> StepConfig {
    let twinflow = TwinFlowConfig {
        image_free: true,
        teacher: TeacherKind::Frozen,
        guidance: 1.0,
        guidance_closed: true,
        ..Default::default()
    };
    let mut config = config();
    config.methods.twinflow = twinflow;
    config
}

/// How a batch is made.
pub type MakeBatch = fn(&StepConfig, &Trainer, u64, &[u32]) -> Batch<HostArray>;

/// The batch of a step for the given rows of the global batch.
pub fn batch(config: &StepConfig, trainer: &Trainer, step: u64, rows: &[u32]) -> Batch<HostArray> {
    // Neighbouring rows hold different points, and each row all of them over the steps.
    let point = |row: &u32| {
        let number = u64::from(*row) + step;
        [number & 1, number >> 1 & 1].map(|bit| if bit == 0 { -COORDINATE as f32 } else { COORDINATE as f32 })
    };
    let points: Vec<f32> = rows.iter().flat_map(point).collect();
    trainers::batch(config, trainer, &points, &vec![0; rows.len()], rows)
}

/// The same with samples that are not worth learning.
pub fn garbage(config: &StepConfig, trainer: &Trainer, step: u64, rows: &[u32]) -> Batch<HostArray> {
    let batch = batch(config, trainer, step, rows);
    let values: Vec<f64> = (0..batch.images.to_f64().len()).map(|i| 50.0 - i as f64).collect();
    let images = HostArray::from_f64(batch.images.ty().clone(), &values).unwrap();
    Batch { images, ..batch }
}

/// Mean distance of samples [n, 1, 1, 2] to the nearest point.
pub fn distance(samples: &HostArray) -> f64 {
    let values = samples.to_f64();
    let distance = |xy: &[f64]| (xy[0].abs() - COORDINATE).hypot(xy[1].abs() - COORDINATE);
    values.chunks(2).map(distance).sum::<f64>() / (values.len() / 2) as f64
}

/// The smallest share of samples in one quadrant, 1/4 if they are spread evenly.
pub fn rarest(samples: &HostArray) -> f64 {
    let values = samples.to_f64();
    let mut counts = [0usize; 4];
    for xy in values.chunks(2) {
        counts[usize::from(xy[0] > 0.0) + 2 * usize::from(xy[1] > 0.0)] += 1;
    }
    let rarest = counts.into_iter().min().unwrap_or(0);
    rarest as f64 / (values.len() / 2) as f64
}
