//! Random bits as pure functions of counters: no state to save, any order, any number of processes.

use std::f64::consts::TAU;

/// The increment of SplitMix64, 2^64 over the golden ratio: it keeps zero words from cancelling.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's finalizer: a bijection whose every output bit depends on every input bit.
fn finalize(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// SplitMix64's output at a counter (Steele, Lea & Flood 2014).
pub fn splitmix64(counter: u64) -> u64 {
    finalize(counter.wrapping_add(GOLDEN))
}

/// 64 bits for a word after the words that made `state`: a hash of words, one at a time.
pub fn absorb(state: u64, word: u64) -> u64 {
    finalize(state.wrapping_add(GOLDEN) ^ splitmix64(word))
}

/// A float in `[0, 1)` from the upper 53 of 64 bits.
pub fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// A float in `(0, 1)` from the upper 53 of 64 bits: its logarithm is finite.
pub fn open_unit(bits: u64) -> f64 {
    ((bits >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

/// An integer below `bound` by the upper half of the product (bias below `bound / 2^64`).
pub fn below(bits: u64, bound: u64) -> u64 {
    ((u128::from(bits) * u128::from(bound)) >> 64) as u64
}

/// Two independent standard normals from two words (Box and Muller 1958).
pub fn normal_pair(first: u64, second: u64) -> (f64, f64) {
    // 1 - u lies in (0, 1], so the logarithm is finite.
    let radius = (-2.0 * (1.0 - unit(first)).ln()).sqrt();
    let (sin, cos) = (TAU * unit(second)).sin_cos();
    (radius * cos, radius * sin)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First weights, orders of samples and synthetic data hang on these values: runs must find theirs again.
    #[test]
    fn streams_stay_what_they_are() {
        assert_eq!(
            [0, 1, u64::MAX].map(splitmix64),
            [0xe220_a839_7b1d_cdaf, 0x910a_2dec_8902_5cc1, 0xe4d9_7177_1b65_2c20]
        );
        assert_eq!(
            [(0, 0), (1, 2), (u64::MAX, 7)].map(|(state, word)| absorb(state, word)),
            [0x0397_ab29_7406_81d9, 0x57e7_b069_fff1_380a, 0x91f1_328b_6a49_1f43]
        );
        assert_eq!([unit(u64::MAX), unit(1 << 40)], [0.999_999_999_999_999_9, 5.960_464_477_539_063e-8]);
        assert_eq!(open_unit(splitmix64(3 ^ splitmix64(4))), 0.312_813_266_774_932_9);
        assert_eq!((open_unit(0), below(u64::MAX / 3, 1000)), (0.5f64.powi(54), 333));
        assert_eq!(normal_pair(1 << 63, 1 << 61), (0.832_554_611_157_697_8, 0.832_554_611_157_697_7));
    }
}
