//! `eval` of models of points in the plane, which need no classifier.

use miette::Result;
use twinflow_data::{Toy2d, ToyKind};
use twinflow_evaluation::{Measured, PointScores, PointsReport, energy_distance_by_class};

use super::subject::{Subject, finish, per_class, refuse_files};
use crate::{
    cli::{Calls, EvalArgs},
    commands::print_line,
    pictures::sample_file::make_parent,
};

/// Seeds of real points, beyond those that a config can name for training.
const REAL: u64 = 1 << 32;

/// Compares samples with as many real points.
///
/// # Errors
/// Arguments that have no effect here, no usable plugin, a file that cannot be written.
pub fn evaluate(args: &EvalArgs, subject: &Subject) -> Result<()> {
    let files = [
        ("--data", &args.data),
        ("--test-data", &args.test_data),
        ("--held-out", &args.held_out),
        ("--classifier", &args.classifier),
    ];
    let help = "leave it out; real points are made on the spot, and no classifier is needed";
    refuse_files(&files, "points in the plane", help)?;
    make_parent(&args.out)?;
    let (data, per_class) = (&subject.config.data, per_class(args));
    let real = real_points(data.toy, REAL, per_class);
    let distance = |x: (&[f32], &[i32])| energy_distance_by_class(x, (&real.0, &real.1), data.classes);
    let measure = |calls: &Calls| -> Result<Measured<PointScores>> {
        let (drawn, sample) = subject.draw(*calls, args)?;
        print_line(format_args!("NFE {}: {} points drawn", calls.nfe, drawn.labels.len()))?;
        let scores = PointScores { energy_distance: distance((&drawn.values, &drawn.labels)) };
        Ok(Measured { nfe: calls.nfe, sample, scores })
    };
    let other = real_points(data.toy, REAL + 1, per_class);
    let report = PointsReport {
        samples: subject.samples(args),
        toy: data.toy.name().to_owned(),
        real_energy_distance: distance((&other.0, &other.1)),
        results: args.nfe.iter().map(measure).collect::<Result<_>>()?,
    };
    finish(args, &report)
}

/// The first points of each class, with their labels.
fn real_points(toy: ToyKind, seed: u64, per_class: usize) -> (Vec<f32>, Vec<i32>) {
    let source = Toy2d::new(toy, seed);
    let of_class = |class: usize| {
        let points = (0..).map(|index| source.point(index)).filter(move |(_, label)| *label as usize == class);
        points.take(per_class)
    };
    let found = (0..toy.classes()).flat_map(of_class);
    let (points, labels): (Vec<[f32; 2]>, Vec<i32>) = found.unzip();
    (points.concat(), labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_points_are_equally_many_of_each_class() {
        let (points, labels) = real_points(ToyKind::Checkerboard, REAL, 3);
        assert_eq!((points.len(), labels), (24, vec![0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]));
    }
}
