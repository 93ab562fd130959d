//! The curves of a run in bounded memory, however long it is.

use indexmap::IndexMap;

use super::StepMetrics;

/// Points of a curve at most. When a curve is full its neighbours are averaged, which also calms the noise of single
/// batches.
const MOST_POINTS: usize = 400;

/// What the steps so far showed, by tag. Skipped steps are left out, and so is what was 0 or not finite: a term that a
/// phase does not have would be a line at zero.
#[derive(Debug, Default)]
pub struct History {
    curves: IndexMap<String, Averaged>,
    phases: Vec<(u64, String)>,
}

/// A curve whose points are means over `block` values each.
#[derive(Debug)]
struct Averaged {
    points: Vec<(f64, f64)>,
    block: usize,
    /// Sums over the values of the block that is not yet full.
    open: (f64, f64),
    in_open: usize,
}

impl History {
    pub fn push(&mut self, metrics: &StepMetrics) {
        if self.phases.last().is_none_or(|(_, phase)| *phase != metrics.phase) {
            self.phases.push((metrics.step, metrics.phase.clone()));
        }
        if !metrics.skipped {
            for (tag, value) in metrics.by_tag().filter(|(_, value)| value.is_finite() && *value != 0.0) {
                self.curves.entry(tag).or_default().push((metrics.step as f64, value));
            }
        }
    }

    /// (step, value) pairs of one curve; none if it is unknown.
    pub fn points(&self, tag: &str) -> Vec<(f64, f64)> {
        self.curves.get(tag).map_or(Vec::new(), Averaged::all)
    }

    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.curves.keys().map(String::as_str)
    }

    /// First step and name of each phase but the first.
    pub fn later_phases(&self) -> &[(u64, String)] {
        self.phases.get(1..).unwrap_or_default()
    }
}

impl Default for Averaged {
    fn default() -> Self {
        Averaged { points: Vec::new(), block: 1, open: (0.0, 0.0), in_open: 0 }
    }
}

impl Averaged {
    fn push(&mut self, (x, y): (f64, f64)) {
        if self.points.len() == MOST_POINTS {
            let mean = |pair: &[(f64, f64)]| ((pair[0].0 + pair[1].0) / 2.0, (pair[0].1 + pair[1].1) / 2.0);
            self.points = self.points.chunks_exact(2).map(mean).collect();
            self.block *= 2;
        }
        self.open = (self.open.0 + x, self.open.1 + y);
        self.in_open += 1;
        if self.in_open == self.block {
            self.points.extend(self.open_mean());
            (self.open, self.in_open) = ((0.0, 0.0), 0);
        }
    }

    fn all(&self) -> Vec<(f64, f64)> {
        self.points.iter().copied().chain(self.open_mean()).collect()
    }

    fn open_mean(&self) -> Option<(f64, f64)> {
        let n = self.in_open as f64;
        (self.in_open > 0).then(|| (self.open.0 / n, self.open.1 / n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::tests::at;

    #[test]
    fn long_curves_are_averaged_over_all_of_their_steps() {
        let mut history = History::default();
        let steps = 1000 * MOST_POINTS as u64 + 1;
        (1..=steps).for_each(|step| history.push(&at(step)));
        let points = history.points("loss/total");
        assert!((MOST_POINTS / 2..=MOST_POINTS + 1).contains(&points.len()), "{} points", points.len());
        assert!(points.iter().all(|(_, y)| *y == 0.75));
        assert!(points.is_sorted_by(|a, b| a.0 < b.0));
        assert!(points[0].0 < 600.0 && points[points.len() - 1].0 > steps as f64 - 600.0, "{points:?}");
    }

    #[test]
    fn what_is_not_there_is_no_point() {
        let mut history = History::default();
        history.push(&at(1));
        history.push(&StepMetrics { skipped: true, ..at(2) });
        let mut third = StepMetrics { phase: "twinflow".into(), grad_norm: f64::NAN, ..at(3) };
        third.terms["entropy"] = 0.0;
        history.push(&third);
        let steps = |tag: &str| history.points(tag).into_iter().map(|(step, _)| step).collect::<Vec<_>>();
        assert_eq!(
            (steps("loss/total"), steps("entropy"), steps("gradient/norm")),
            (vec![1.0, 3.0], vec![1.0], vec![1.0])
        );
        assert_eq!((steps("rate/communication_seconds"), steps("no/such")), (vec![], vec![]));
        assert_eq!(history.later_phases(), [(3, "twinflow".to_owned())]);
    }
}
