//! The order of samples within an epoch.

use twinflow_array::bits;

use crate::counter_bits::{self, Stream};

/// Rounds of the Feistel network. Four make it pseudo-random in theory (Luby and Rackoff 1988) on large domains; on
/// tiny ones six still place samples measurably unevenly, and ten do not.
const ROUNDS: usize = 10;

/// A random bijection of `0..len` that needs no table: a pure function of (seed, epoch), any index in constant time.
///
/// A Feistel network permutes the smallest domain of `4^k >= len` values; values outside `0..len` are permuted again
/// until they fall inside (cycle walking, Black and Rogaway 2002), less than four times on average.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permutation {
    len: u64,
    half_bits: u32,
    round_keys: [u64; ROUNDS],
}

impl Permutation {
    /// The order of `len` samples in an epoch. With `len` 0 it has no valid index.
    pub fn new(len: u64, seed: u64, epoch: u64) -> Self {
        let bits = u64::BITS - len.saturating_sub(1).leading_zeros();
        let key = counter_bits::bits(seed, Stream::Permutation, epoch);
        Permutation {
            len,
            half_bits: bits.div_ceil(2).max(1),
            round_keys: std::array::from_fn(|round| bits::absorb(key, round as u64)),
        }
    }

    /// Number of indices.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no indices.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where `index` goes.
    ///
    /// # Panics
    /// If `index` is not below the length: the walk would not end.
    pub fn apply(&self, index: u64) -> u64 {
        assert!(index < self.len, "index {index} of a permutation of {}", self.len);
        let mut value = self.feistel(index);
        while value >= self.len {
            value = self.feistel(value);
        }
        value
    }

    fn feistel(&self, value: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for &key in &self.round_keys {
            (left, right) = (right, left ^ (bits::absorb(key, right) & mask));
        }
        left << self.half_bits | right
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_index_is_taken_once(len in 1u64..3000, seed: u64, epoch: u64) {
            let permutation = Permutation::new(len, seed, epoch);
            let mut taken: Vec<u64> = (0..len).map(|index| permutation.apply(index)).collect();
            taken.sort_unstable();
            prop_assert!(taken.into_iter().eq(0..len));
        }

        #[test]
        fn huge_sets_stay_in_range(len in (1u64 << 40)..(1 << 62), seed: u64, part in 0.0..1.0) {
            let permutation = Permutation::new(len, seed, 0);
            prop_assert!(permutation.apply((part * (len - 1) as f64) as u64) < len);
        }
    }

    #[test]
    fn seeds_and_epochs_give_unrelated_orders() {
        let order = |seed, epoch| {
            let permutation = Permutation::new(1000, seed, epoch);
            (0..1000).map(|index| permutation.apply(index)).collect::<Vec<_>>()
        };
        assert_eq!(order(1, 0), order(1, 0));
        for other in [order(2, 0), order(1, 1), (0..1000).collect()] {
            // A random pair of orders agrees in one place on average (Poisson); 8 or more has probability 1e-5.
            let agreeing = order(1, 0).into_iter().zip(other).filter(|(a, b)| a == b).count();
            assert!(agreeing < 8, "{agreeing} of 1000 places agree");
        }
    }

    #[test]
    fn each_index_visits_all_places_equally() {
        let epochs = 50_000;
        for len in [5u64, 10, 16] {
            let mut counts = vec![0f64; (len * len) as usize];
            for epoch in 0..epochs {
                let permutation = Permutation::new(len, 7, epoch);
                (0..len).for_each(|index| counts[(index * len + permutation.apply(index)) as usize] += 1.0);
            }
            let expected = epochs as f64 / len as f64;
            let chi_squared: f64 = counts.iter().map(|count| (count - expected).powi(2) / expected).sum();
            let freedom = ((len - 1) * (len - 1)) as f64;
            assert!(chi_squared < freedom + 5.0 * (2.0 * freedom).sqrt(), "chi squared {chi_squared} of {freedom}");
        }
    }
}
