//! Products in bf16 against those in f32.

use twinflow_array::{HostArray, TensorType, leaves, map};
use twinflow_compiler::jit;
use twinflow_models::denoisers::{DataSpec, DitConfig, ModelConfig, Remat};
use twinflow_tests::{trainers, xla};
use twinflow_training::{Gradients, Precision, StepConfig, Trainer};

fn config(precision: Precision) -> StepConfig {
    let dit = DitConfig { width: 16, depth: 2, heads: 2, patch: 2, remat: Remat::Blocks, ..Default::default() };
    let sample = [4, 4, 1];
    let config = trainers::dit_step(ModelConfig::Dit(dit), sample, 4);
    StepConfig { precision, data: DataSpec::labelled(sample, 3), ..config }
}

/// Gradients by XLA of a phase; parameters are all away from zero, so that none hides the layers before it.
fn gradients(precision: Precision, phase: usize) -> Vec<f64> {
    let config = config(precision);
    let trainer = Trainer::new(config.clone()).unwrap();
    let mut state = trainer.init(3);
    let mut count = 0.0f64;
    state.trained = map(&state.trained, |_, array| {
        let mut next = || {
            count += 1.0;
            0.1 * (count * 12.9898).sin()
        };
        let values: Vec<f64> = (0..array.shape().elements()).map(|_| next()).collect();
        HostArray::from_f64(array.ty().clone(), &values).unwrap()
    });
    let pixels: Vec<f32> = (0..4 * 16).map(|i| (i as f32 * 1.7).sin()).collect();
    let batch = trainers::batch(&config, &trainer, &pixels, &[0, 1, 2, 0], &[0, 1, 2, 3]);
    let kept = (trainer.state_spec(), trainer.batch_spec());
    let traced = jit::<_, _, Gradients<TensorType>>("gradients", None::<TensorType>, kept, |_, _, (state, batch)| {
        trainer.gradients(phase, &state, &batch)
    });
    let inputs: Vec<HostArray> = leaves(&state).into_iter().chain(leaves(&batch)).cloned().collect();
    xla::run(traced.unwrap().program(), &inputs).iter().flat_map(HostArray::to_f64).collect()
}

#[test]
fn bf16_changes_gradients_by_its_rounding_only() {
    for phase in [0, 1] {
        let (exact, rounded) = (gradients(Precision::F32, phase), gradients(Precision::Bf16, phase));
        let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
        let difference = norm(&mut rounded.iter().zip(&exact).map(|(a, b)| a - b)) / norm(&mut exact.iter().copied());
        // A bf16 number has 8 bits, and TwinFlow's targets are differences of network calls.
        let most = [0.03, 0.1][phase];
        assert!(difference > 1e-4 && difference < most, "phase {phase}: {difference}");
    }
}
