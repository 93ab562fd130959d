//! Random numbers as pure functions of a key and a counter.
//!
//! Every number depends on the key, its row and its column alone: not on shapes, the device or what else is drawn. A
//! sample's numbers stay the same however a batch is cut into parts.

use std::sync::Arc;

use twinflow_array::{DType, Shape, TensorType};

use crate::{
    indexing::stack,
    ops::random::Threefry2x32,
    trace::{Tensor, Trace},
};

/// The first counter word of keys made by [`Key::fold_in`], [`Key::split`] and [`Key::fold_in_name`]: keys of different
/// kinds differ. Names have the highest bit set and 63 bits of their hash.
const FOLD: u32 = 0;
const SPLIT: u32 = 1;
const NAME: u32 = 1 << 31;

/// The key of a stream of random numbers. Use a key either to draw with or to make further keys from, not for both.
#[derive(Clone, Copy, Debug)]
pub struct Key<'t> {
    words: [Tensor<'t>; 2],
}

/// What a key can be made different by: a constant, or a u32 scalar such as the step's number.
#[derive(Clone, Copy, Debug)]
pub enum Word<'t> {
    /// A number known while tracing.
    Constant(u32),
    /// A u32 scalar.
    Tensor(Tensor<'t>),
}

impl From<u32> for Word<'_> {
    fn from(word: u32) -> Self {
        Word::Constant(word)
    }
}

impl<'t> From<Tensor<'t>> for Word<'t> {
    fn from(word: Tensor<'t>) -> Self {
        Word::Tensor(word)
    }
}

impl<'t> Key<'t> {
    /// The key of a seed.
    #[track_caller]
    pub fn seed(trace: &'t Trace, seed: u64) -> Self {
        Key { words: [(seed >> 32) as u32, seed as u32].map(|word| scalar(trace, word)) }
    }

    /// The key held in a tensor `u32[2]`.
    #[track_caller]
    pub fn from_tensor(tensor: Tensor<'t>) -> Self {
        if tensor.ty() != TensorType::new(DType::U32, [2]) {
            tensor.trace().fail("Key::from_tensor", format!("a key is held in u32[2], not in {}", tensor.ty()));
        }
        Key { words: [0, 1].map(|word| tensor.slice_dim(0, word, word + 1).reshape([])) }
    }

    /// The key as a tensor `u32[2]`.
    #[track_caller]
    pub fn to_tensor(self) -> Tensor<'t> {
        stack(&self.words, 0)
    }

    /// Another key for each word.
    #[track_caller]
    pub fn fold_in(self, word: impl Into<Word<'t>>) -> Self {
        let word = match word.into() {
            Word::Constant(word) => scalar(self.trace(), word),
            Word::Tensor(word) => word,
        };
        Key { words: self.encrypt(scalar(self.trace(), FOLD), word) }
    }

    /// Another key for each name (of a draw, say), by the name's FNV-1a hash.
    #[track_caller]
    pub fn fold_in_name(self, name: &str) -> Self {
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        let [high, low] = [(hash >> 32) as u32 | NAME, hash as u32].map(|word| scalar(self.trace(), word));
        Key { words: self.encrypt(high, low) }
    }

    /// `n` further keys.
    #[track_caller]
    pub fn split(self, n: usize) -> Vec<Self> {
        if n == 0 {
            return Vec::new();
        }
        let ty = TensorType::new(DType::U32, [n]);
        let numbers = self.trace().iota(ty.clone(), 0);
        let words = self.encrypt(self.trace().full(ty, f64::from(SPLIT)), numbers);
        (0..n).map(|i| Key { words: words.map(|word| word.slice_dim(0, i, i + 1).reshape([])) }).collect()
    }

    /// Random bits `[b, columns]` for `rows` (u32 `[b]`): row `rows[i]` of an endless table of the key.
    #[track_caller]
    pub fn bits_at(self, rows: Tensor<'t>, columns: usize) -> Tensor<'t> {
        interleave(self.pairs(rows, columns), columns)
    }

    /// Uniform f32 in [0, 1), multiples of 2^-24, `[b, columns]` for `rows` (u32 `[b]`).
    #[track_caller]
    pub fn uniform_at(self, rows: Tensor<'t>, columns: usize) -> Tensor<'t> {
        unit(self.bits_at(rows, columns))
    }

    /// Standard normal f32 `[b, columns]` for `rows` (u32 `[b]`), by Box and Muller: the two words of a pair of columns
    /// give `sqrt(-2 ln u) cos(2 pi v)` and `sqrt(-2 ln u) sin(2 pi v)`. None exceeds 6.7.
    #[track_caller]
    pub fn normal_at(self, rows: Tensor<'t>, columns: usize) -> Tensor<'t> {
        let [a, b] = self.pairs(rows, columns);
        // All 32 bits, for the tails; u is in (0, 1].
        let u = (a.convert(DType::F32) + 1.0) * 2f64.powi(-32);
        let radius = (u.log() * -2.0).sqrt();
        let angle = unit(b) * std::f64::consts::TAU;
        interleave([radius * angle.cos(), radius * angle.sin()], columns)
    }

    /// Uniform f32 in [0, 1) of a shape: row 0 of [`Key::uniform_at`], in row-major order.
    #[track_caller]
    pub fn uniform(self, shape: impl Into<Shape>) -> Tensor<'t> {
        let shape = shape.into();
        self.uniform_at(self.row_zero(), shape.elements()).reshape(shape)
    }

    /// Standard normal f32 of a shape: row 0 of [`Key::normal_at`], in row-major order.
    #[track_caller]
    pub fn normal(self, shape: impl Into<Shape>) -> Tensor<'t> {
        let shape = shape.into();
        self.normal_at(self.row_zero(), shape.elements()).reshape(shape)
    }

    fn trace(self) -> &'t Trace {
        self.words[0].trace()
    }

    #[track_caller]
    fn row_zero(self) -> Tensor<'t> {
        self.trace().full(TensorType::new(DType::U32, [1]), 0.0)
    }

    /// The two words of each pair of columns, `[b, ceil(columns / 2)]`.
    #[track_caller]
    fn pairs(self, rows: Tensor<'t>, columns: usize) -> [Tensor<'t>; 2] {
        if rows.rank() != 1 || rows.dtype() != DType::U32 {
            self.trace().fail("random", format!("rows must be u32[b], not {}", rows.ty()));
        }
        let ty = TensorType::new(DType::U32, [rows.dim(0), columns.div_ceil(2)]);
        self.encrypt(rows.broadcast_in_dim(ty.shape.clone(), &[0]), self.trace().iota(ty, 1))
    }

    #[track_caller]
    fn encrypt(self, counter0: Tensor<'t>, counter1: Tensor<'t>) -> [Tensor<'t>; 2] {
        let [key0, key1] = self.words.map(|word| word.broadcast_to(counter0.shape()));
        let results = self.trace().record(Arc::new(Threefry2x32), &[key0, key1, counter0, counter1]);
        [results[0], results[1]]
    }
}

#[track_caller]
fn scalar(trace: &Trace, word: u32) -> Tensor<'_> {
    trace.scalar(DType::U32, f64::from(word))
}

/// Column 2j from the first tensor's column j, column 2j + 1 from the second's.
#[track_caller]
fn interleave<'t>(pair: [Tensor<'t>; 2], columns: usize) -> Tensor<'t> {
    let (rows, half) = (pair[0].dim(0), pair[0].dim(1));
    stack(&pair, 2).reshape([rows, 2 * half]).slice_dim(1, 0, columns)
}

/// The upper 24 bits, all that f32 holds, as a number in [0, 1).
#[track_caller]
fn unit(bits: Tensor<'_>) -> Tensor<'_> {
    bits.shift_right(8.0).convert(DType::F32) * 2f64.powi(-24)
}
