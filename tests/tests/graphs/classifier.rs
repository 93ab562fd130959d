//! The classifier that judges samples, on a toy problem, by the reference interpreter.

use twinflow_array::{HostArray, leaves};
use twinflow_models::classifier::{Classifier, ClassifierConfig};
use twinflow_training::classifier::{ClassifierBatch, ClassifierState, ClassifierTrainer, ClassifierTraining};

use crate::support;

fn classifier(sample: [usize; 3], classes: usize) -> Classifier {
    Classifier::new(&ClassifierConfig { channels: [4, 8], features: 8 }, sample, classes).unwrap()
}

fn training() -> ClassifierTraining {
    ClassifierTraining { batch_size: 6, least_steps: 20, ..ClassifierTraining::default() }
}

fn trainer(training: ClassifierTraining) -> ClassifierTrainer {
    ClassifierTrainer::new(classifier([4, 4, 1], 3), training, 6).unwrap()
}

/// Images that are bright on the left, on the right, or everywhere.
fn batch() -> ClassifierBatch<HostArray> {
    let bright = |class: usize, column: usize| [column < 2, column >= 2, true][class];
    let pixel = |i: usize| if bright(i / 16 % 3, i % 4) { 1.0f32 } else { -1.0 };
    ClassifierBatch {
        images: HostArray::from_slice([6, 4, 4, 1], &(0..6 * 16).map(pixel).collect::<Vec<_>>()).unwrap(),
        labels: HostArray::from_slice([6], &[0i32, 1, 2, 0, 1, 2]).unwrap(),
    }
}

/// The loss before each of the steps.
fn losses(trainer: &ClassifierTrainer, steps: usize) -> Vec<f64> {
    let inputs = (trainer.init(3), batch());
    let outputs = support::run(&inputs, |_, (mut state, batch): (ClassifierState<_>, ClassifierBatch<_>)| {
        let mut losses = Vec::new();
        for _ in 0..steps {
            let (next, loss) = trainer.step(state, &batch);
            losses.push(loss);
            state = next;
        }
        losses
    });
    outputs.into_iter().map(|loss| loss.sum()).collect()
}

#[test]
fn training_learns_separable_classes() {
    let trainer = trainer(ClassifierTraining { learning_rate: 0.03, dropout: 0.0, ..training() });
    assert_eq!(trainer.steps(), 20);
    let losses = losses(&trainer, 20);
    // Random weights: about ln 3.
    assert!(losses[0] > 0.5 && losses[19] < 0.1 * losses[0], "{losses:?}");
}

#[test]
fn dropout_differs_from_step_to_step_and_not_from_run_to_run() {
    let still = ClassifierTraining { learning_rate: 0.0, ..training() };
    let dropping = trainer(still.clone());
    let first = losses(&dropping, 2);
    assert!((first[0] - first[1]).abs() > 1e-3, "{first:?}");
    assert_eq!(first, losses(&dropping, 2));
    let without = losses(&trainer(ClassifierTraining { dropout: 0.0, ..still }), 2);
    assert!((without[0] - without[1]).abs() < 1e-12, "{without:?}");
}

#[test]
fn features_are_what_the_scores_are_made_of() {
    let classifier = classifier([4, 8, 2], 5);
    let spec = classifier.images_spec(3);
    let inputs = (classifier.parameters().sample(0), support::noise(&spec, 1.0));
    let outputs = support::run(&inputs, |_, (params, images)| {
        let output = classifier.forward(&params, images);
        vec![output.features, output.scores]
    });
    assert_eq!((outputs[0].shape(), outputs[1].shape()), (&[3, 8][..], &[3, 5][..]));
    assert!(outputs[0].iter().all(|feature| *feature >= 0.0), "features come from a rectifier");
    let last: Vec<Vec<f64>> = leaves(&inputs.0).iter().rev().take(2).map(|array| array.to_f64()).collect();
    let score = |row: usize, class: usize| {
        last[0][class] + (0..8).map(|k| outputs[0][[row, k]] * last[1][k * 5 + class]).sum::<f64>()
    };
    assert!((0..15).all(|i| (score(i / 5, i % 5) - outputs[1][[i / 5, i % 5]]).abs() < 1e-9));
}

#[test]
fn images_that_do_not_reduce_are_refused() {
    let refused =
        |sample, classes| Classifier::new(&ClassifierConfig::default(), sample, classes).unwrap_err().to_string();
    assert!(refused([6, 8, 1], 3).contains("data.height = 6 must be a multiple of"), "{}", refused([6, 8, 1], 3));
    assert!(refused([8, 8, 1], 1).contains("at least 2 classes"));
}
