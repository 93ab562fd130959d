//! Random bits of this crate's uses, by seed and counter.

use twinflow_array::bits::absorb;

/// Keeps the draws of different uses apart: equal seeds and counters give unrelated bits.
#[derive(Clone, Copy)]
pub(crate) enum Stream {
    Permutation = 1,
    Flip = 2,
    Toy = 3,
    SyntheticImage = 4,
    SyntheticLabel = 5,
    SyntheticText = 6,
    SyntheticLength = 7,
    SyntheticPooledText = 8,
    Caption = 9,
}

/// 64 bits for (seed, stream, counter).
pub(crate) fn bits(seed: u64, stream: Stream, counter: u64) -> u64 {
    absorb(absorb(seed, stream as u64), counter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_stay_what_they_are() {
        assert_eq!(bits(5, Stream::Toy, 9), 0xffbc_120d_84f5_cd9c);
    }
}
