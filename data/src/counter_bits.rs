//! Random bits as a pure function of a seed and a counter: no state to save, any order, any rank.

/// Keeps the draws of different uses apart: equal seeds and counters give unrelated bits.
#[derive(Clone, Copy)]
pub(crate) enum Stream {
    Permutation = 1,
    Flip = 2,
    Toy = 3,
    SyntheticImage = 4,
    SyntheticLabel = 5,
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood 2014): a bijection whose every output bit depends on every input
/// bit.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One step of the hash: the golden-ratio increment keeps zero words from cancelling.
pub(crate) fn absorb(state: u64, word: u64) -> u64 {
    mix(state.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ mix(word.wrapping_add(0x9e37_79b9_7f4a_7c15)))
}

/// 64 bits for (seed, stream, counter).
pub(crate) fn bits(seed: u64, stream: Stream, counter: u64) -> u64 {
    absorb(absorb(seed, stream as u64), counter)
}

/// A float in `[0, 1)` from the upper 53 of 64 bits.
pub(crate) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// An integer below `bound` from 64 bits, by the upper half of the product (bias below `bound / 2^64`).
pub(crate) fn below(bits: u64, bound: u64) -> u64 {
    ((u128::from(bits) * u128::from(bound)) >> 64) as u64
}

/// Two independent standard normals from two words (Box and Muller 1958).
pub(crate) fn normal_pair(first: u64, second: u64) -> (f64, f64) {
    // 1 - u lies in (0, 1], so the logarithm is finite.
    let radius = (-2.0 * (1.0 - unit(first)).ln()).sqrt();
    let (sin, cos) = (std::f64::consts::TAU * unit(second)).sin_cos();
    (radius * cos, radius * sin)
}
