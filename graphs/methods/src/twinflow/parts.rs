//! The batch, divided into the parts that the losses are computed on.

use std::ops::Range;

use twinflow_nn::ConfigError;

use crate::{BatchPart, twinflow::Shares};

/// A part of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// One step: t = 1, r = 0.
    E2e,
    /// Many steps: r just below t.
    Mul,
    /// Any step: r anywhere below t.
    Any,
    /// Self-adversarial: fakes at negative times.
    Adv,
}

/// Sizes of the parts, which lie in the batch in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Samples of [`Part::E2e`].
    pub e2e: usize,
    /// Samples of [`Part::Mul`].
    pub mul: usize,
    /// Samples of [`Part::Any`].
    pub any: usize,
    /// Samples of [`Part::Adv`].
    pub adv: usize,
}

impl Parts {
    /// Divides a batch by largest remainders; every part with a share gets at least one sample.
    ///
    /// # Errors
    /// [`ConfigError::BatchTooSmall`] if the batch has fewer samples than there are such parts.
    pub fn new(shares: Shares, batch: usize) -> Result<Self, ConfigError> {
        let shares = [shares.e2e, shares.mul, shares.any, shares.adv];
        let named = shares.iter().filter(|share| **share > 0.0).count();
        if batch < named || named == 0 {
            return Err(ConfigError::BatchTooSmall { batch, parts: named });
        }
        let total: f64 = shares.iter().sum();
        let wanted = shares.map(|share| share / total * batch as f64);
        let mut sizes = wanted.map(|size| if size > 0.0 { (size.floor() as usize).max(1) } else { 0 });
        // One at a time to (or from) the part that is furthest below (or above) its share.
        while sizes.iter().sum::<usize>() != batch {
            let missing = |i: usize| wanted[i] - sizes[i] as f64;
            let order = |a: &usize, b: &usize| missing(*a).total_cmp(&missing(*b));
            if sizes.iter().sum::<usize>() < batch {
                // `rev` gives ties to the earlier part: max_by keeps the last of equals.
                let part = (0..4).rev().filter(|i| shares[*i] > 0.0).max_by(order);
                sizes[part.expect("a part has a share")] += 1;
            } else {
                let part = (0..4).filter(|i| sizes[*i] > 1).min_by(order);
                sizes[part.expect("more samples than parts")] -= 1;
            }
        }
        Ok(Self::from_sizes(sizes))
    }

    /// The public code's rule: each share of the batch rounded (halves to even), the remainder to adv. A part may end
    /// up empty, so training divides by [`Parts::new`]; this one is for comparison with that code.
    pub fn by_public_rounding(shares: Shares, batch: usize) -> Self {
        let mut left = batch;
        let mut take = |share: f64| {
            let size = ((share * batch as f64).round_ties_even() as usize).min(left);
            left -= size;
            size
        };
        let (e2e, mul, any) = (take(shares.e2e), take(shares.mul), take(shares.any));
        Parts { e2e, mul, any, adv: left }
    }

    fn from_sizes([e2e, mul, any, adv]: [usize; 4]) -> Self {
        Parts { e2e, mul, any, adv }
    }

    /// The parts of each of `shards` equal shares of the batch.
    ///
    /// # Errors
    /// [`ConfigError::PartNotDivisible`] naming the first part that cannot be dealt out equally.
    pub fn divide(&self, shards: usize) -> Result<Parts, ConfigError> {
        for BatchPart { name: part, size } in self.named() {
            if !size.is_multiple_of(shards) {
                return Err(ConfigError::PartNotDivisible { part, size, batch: self.batch(), shards });
            }
        }
        Ok(Self::from_sizes(self.sizes().map(|size| size / shards)))
    }

    /// The parts as messages name them, in order.
    pub fn named(&self) -> Vec<BatchPart> {
        let names = ["e2e", "mul", "any", "adv"];
        names.into_iter().zip(self.sizes()).map(|(name, size)| BatchPart { name, size }).collect()
    }

    /// Samples in all parts.
    pub fn batch(&self) -> usize {
        self.sizes().iter().sum()
    }

    /// The rows of a part.
    pub fn range(&self, part: Part) -> Range<usize> {
        let before: usize = self.sizes()[..part as usize].iter().sum();
        before..before + self.sizes()[part as usize]
    }

    /// The rows of the parts from `first` to `last`, both included.
    pub fn span(&self, first: Part, last: Part) -> Range<usize> {
        self.range(first).start..self.range(last).end
    }

    fn sizes(&self) -> [usize; 4] {
        [self.e2e, self.mul, self.any, self.adv]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(e2e: usize, mul: usize, any: usize, adv: usize) -> Parts {
        Parts { e2e, mul, any, adv }
    }

    #[test]
    fn every_part_with_a_share_gets_a_sample() {
        let shares = Shares { e2e: 0.9, mul: 0.05, any: 0.05, adv: 0.0 };
        assert_eq!(Parts::new(shares, 3).unwrap(), parts(1, 1, 1, 0));
        assert_eq!(Parts::new(shares, 10).unwrap(), parts(8, 1, 1, 0));
        assert_eq!(Parts::new(Shares::default(), 6).unwrap(), parts(2, 2, 1, 1));
        assert_eq!(Parts::new(Shares::default(), 64).unwrap(), parts(16, 16, 16, 16));
        let message = Parts::new(Shares::default(), 3).unwrap_err().to_string();
        assert!(message.contains("train.batch_size = 3") && message.contains("4 parts"), "{message}");
    }

    #[test]
    fn public_rounding_may_leave_adv_empty() {
        assert_eq!(Parts::by_public_rounding(Shares::default(), 6), parts(2, 2, 2, 0));
        assert_eq!(Parts::by_public_rounding(Shares::default(), 10), parts(2, 2, 2, 4));
        assert_eq!(Parts::by_public_rounding(Shares::default(), 8), parts(2, 2, 2, 2));
    }

    #[test]
    fn shards_have_equal_parts() {
        let global = parts(4, 2, 6, 4);
        assert_eq!(global.divide(2).unwrap(), parts(2, 1, 3, 2));
        assert!(global.divide(4).unwrap_err().to_string().starts_with("the mul part of train.batch_size = 16 has 2"));
    }

    #[test]
    fn spans_cover_neighbours() {
        let parts = parts(2, 3, 4, 5);
        assert_eq!(parts.range(Part::Any), 5..9);
        assert_eq!(parts.span(Part::E2e, Part::Any), 0..9);
    }
}
