//! Two devices of one process against one.

use twinflow_array::{HostArray, TensorType, leaves};
use twinflow_compiler::{Program, jit};
use twinflow_tests::{trainers::rows, xla};
use twinflow_training::{Batch, Metrics, State, StepConfig, Trainer};

use crate::toy;

#[test]
fn two_devices_equal_one() {
    let (one_config, two_config) = (toy::config(), StepConfig { devices: 2, ..toy::config() });
    let one = Trainer::new(one_config.clone()).unwrap();
    let two = Trainer::new(two_config.clone()).unwrap();
    let state = one.init(9);
    let inputs = |batch: &Batch<HostArray>| -> Vec<HostArray> {
        leaves(&state).into_iter().chain(leaves(batch)).cloned().collect()
    };
    let whole = xla::run(&program(&one), &inputs(&toy::batch(&one_config, &one, 3, &rows(&one_config, &one, 0, 0))));
    let shares = [0, 1].map(|device| inputs(&toy::batch(&two_config, &two, 3, &rows(&two_config, &two, 0, device))));
    let replicas = xla::run_replicas(&program(&two), &shares);
    assert_eq!(replicas[0], replicas[1], "the devices' states differ");
    for (index, (alone, together)) in whole.iter().zip(&replicas[0]).enumerate() {
        let difference = relative_difference(together, alone);
        assert!(difference < 1e-5, "output {index}: {difference}");
    }
}

fn program(trainer: &Trainer) -> Program {
    type Outputs = (State<TensorType>, Metrics<TensorType>);
    let traced = jit::<_, _, Outputs>("step", trainer.state_spec(), trainer.batch_spec(), |_, state, batch| {
        trainer.step(1, state, &batch)
    });
    traced.unwrap().program().clone()
}

fn relative_difference(a: &HostArray, b: &HostArray) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let (a, b) = (a.to_f64(), b.to_f64());
    let difference = norm(&mut a.iter().zip(&b).map(|(a, b)| a - b));
    difference / norm(&mut b.iter().copied()).max(f64::MIN_POSITIVE)
}
