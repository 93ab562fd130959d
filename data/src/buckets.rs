//! Samples by the shape of their images. A compiled step takes one shape, so that all samples of a batch are of one
//! bucket.

use std::{cmp::Reverse, ops::Range};

/// Neighbours among a source's samples whose images have one shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Height, width and channels.
    pub shape: [usize; 3],
    /// Its samples' indices.
    pub samples: Range<u64>,
}

/// All buckets of a source, at least one, in the order of their samples; the first sample is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets(Vec<Bucket>);

/// Which bucket a step takes, and how many steps took it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub bucket: usize,
    pub number: u64,
}

impl Buckets {
    /// One bucket of samples without end, or of so many.
    pub fn single(shape: [usize; 3], samples: Option<u64>) -> Self {
        Buckets(vec![Bucket { shape, samples: 0..samples.unwrap_or(u64::MAX) }])
    }

    /// Buckets of these shapes with so many samples, in order.
    ///
    /// # Panics
    /// If there is none.
    pub fn new(shapes: impl IntoIterator<Item = ([usize; 3], u64)>) -> Self {
        let mut first = 0;
        let buckets = shapes.into_iter().map(|(shape, samples)| {
            let bucket = Bucket { shape, samples: first..first + samples };
            first += samples;
            bucket
        });
        let buckets: Vec<Bucket> = buckets.collect();
        assert!(!buckets.is_empty(), "a source has samples of some shape");
        Buckets(buckets)
    }

    /// All of them.
    pub fn all(&self) -> &[Bucket] {
        &self.0
    }

    /// The number of the bucket with most samples: the shape that samples are drawn in where nobody asks for another.
    pub fn largest(&self) -> usize {
        let size = |number: &usize| self.0[*number].samples.end - self.0[*number].samples.start;
        (0..self.0.len()).max_by_key(|number| (size(number), Reverse(*number))).unwrap_or(0)
    }

    /// The number of the bucket that a sample is in; the last for an index beyond all.
    pub fn of_sample(&self, index: u64) -> usize {
        self.0.partition_point(|bucket| bucket.samples.end <= index).min(self.0.len() - 1)
    }

    /// The number of the bucket that a step takes its batch from.
    pub fn of_step(&self, step: u64) -> usize {
        self.turn(step).bucket
    }

    /// Steps are dealt out to buckets in proportion to their samples, evenly spread, by the method of Webster and
    /// Sainte-Laguë: of buckets with n samples that had k turns, the one with the least (2 k + 1) / n is next. A
    /// bucket's turns stay within the number of buckets of its share, so that all but the last few need no counting.
    pub(crate) fn turn(&self, step: u64) -> Turn {
        let sizes: Vec<u128> = self.0.iter().map(|bucket| (bucket.samples.end - bucket.samples.start).into()).collect();
        let (total, buckets) = (sizes.iter().sum::<u128>().max(1), sizes.len() as u128);
        let certain = |size: &u128| (size * u128::from(step).saturating_sub(buckets) / total).saturating_sub(1);
        let mut turns: Vec<u128> = sizes.iter().map(certain).collect();
        let mut taken: u128 = turns.iter().sum();
        loop {
            let is_sooner = |a: usize, b: usize| (2 * turns[a] + 1) * sizes[b] < (2 * turns[b] + 1) * sizes[a];
            let bucket = (0..sizes.len()).reduce(|best, other| if is_sooner(other, best) { other } else { best });
            let bucket = bucket.unwrap_or(0);
            if taken == u128::from(step) {
                return Turn { bucket, number: turns[bucket] as u64 };
            }
            turns[bucket] += 1;
            taken += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn buckets(sizes: &[u64]) -> Buckets {
        Buckets::new(sizes.iter().map(|size| ([1, 1, 1], *size)))
    }

    #[test]
    fn samples_are_found_in_their_bucket() {
        let buckets = buckets(&[3, 1, 5]);
        let of_samples: Vec<usize> = (0..10).map(|index| buckets.of_sample(index)).collect();
        assert_eq!(of_samples, [0, 0, 0, 1, 2, 2, 2, 2, 2, 2]);
        assert_eq!(buckets.largest(), 2);
        assert_eq!(Buckets::new([([1, 2, 3], 4), ([2, 1, 3], 4)]).largest(), 0);
        assert_eq!(Buckets::single([1, 2, 3], None).turn(u64::MAX), Turn { bucket: 0, number: u64::MAX });
    }

    proptest! {
        /// Counted from the beginning, every step's turn follows its bucket's last one, and shares are met.
        #[test]
        fn turns_follow_each_other_and_are_in_proportion(sizes in prop::collection::vec(1u64..2000, 1..12)) {
            let buckets = buckets(&sizes);
            let total: u64 = sizes.iter().sum();
            let mut turns = vec![0u64; sizes.len()];
            for step in 0..500u64 {
                let turn = buckets.turn(step);
                prop_assert_eq!(turn.number, turns[turn.bucket]);
                turns[turn.bucket] += 1;
                for (turns, size) in turns.iter().zip(&sizes) {
                    let share = (step + 1) as f64 * *size as f64 / total as f64;
                    prop_assert!((*turns as f64 - share).abs() < sizes.len() as f64, "{turns} of {share}");
                }
            }
            let far = 1 << 50;
            let turns: Vec<Turn> = (far..far + 100).map(|step| buckets.turn(step)).collect();
            for (i, turn) in turns.iter().enumerate() {
                let next = turns[i + 1..].iter().find(|later| later.bucket == turn.bucket);
                prop_assert!(next.is_none_or(|next| next.number == turn.number + 1));
            }
        }
    }
}
