//! Random bits from a counter.

use std::collections::HashMap;

use ndarray::{ArrayD, Zip};
use twinflow_array::{DType, TensorType};

use super::prelude::*;

/// Threefry-2x32 with 20 rounds (Salmon et al., Parallel random numbers: as easy as 1, 2, 3; SC 2011): a bijection of
/// pairs of 32-bit words for each key. Operands: key 0, key 1, counter 0, counter 1, all u32 of one shape; two results.
#[derive(Clone, Debug, PartialEq)]
pub struct Threefry2x32;

/// The bits that each round rotates by; they repeat every eight rounds.
const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];

/// The third key word is the other two and this constant of Skein, exclusive or.
const PARITY: u32 = 0x1BD1_1BDA;

/// What the cipher needs of 32-bit words, so that it is written down once for numbers and for StableHLO.
trait Words {
    type Word: Clone;
    fn constant(&mut self, value: u32) -> Self::Word;
    fn add(&mut self, a: &Self::Word, b: &Self::Word) -> Self::Word;
    fn xor(&mut self, a: &Self::Word, b: &Self::Word) -> Self::Word;
    fn rotate_left(&mut self, a: &Self::Word, bits: u32) -> Self::Word;
}

/// Five groups of four rounds, each followed by the next two of the three key words and the group's number.
fn threefry<W: Words>(words: &mut W, key: [W::Word; 2], counter: [W::Word; 2]) -> [W::Word; 2] {
    let parity = words.constant(PARITY);
    let both = words.xor(&key[0], &key[1]);
    let third = words.xor(&both, &parity);
    let [first, second] = key;
    let keys = [first, second, third];
    let mut x = [words.add(&counter[0], &keys[0]), words.add(&counter[1], &keys[1])];
    for group in 0..5 {
        for bits in ROTATIONS[group % 2] {
            x[0] = words.add(&x[0], &x[1]);
            let rotated = words.rotate_left(&x[1], bits);
            x[1] = words.xor(&rotated, &x[0]);
        }
        let number = words.constant(group as u32 + 1);
        let numbered = words.add(&keys[(group + 2) % 3], &number);
        x = [words.add(&x[0], &keys[(group + 1) % 3]), words.add(&x[1], &numbered)];
    }
    x
}

/// Exact arithmetic, for the reference.
struct Exact;

impl Words for Exact {
    type Word = u32;

    fn constant(&mut self, value: u32) -> u32 {
        value
    }

    fn add(&mut self, a: &u32, b: &u32) -> u32 {
        a.wrapping_add(*b)
    }

    fn xor(&mut self, a: &u32, b: &u32) -> u32 {
        a ^ b
    }

    fn rotate_left(&mut self, a: &u32, bits: u32) -> u32 {
        a.rotate_left(bits)
    }
}

/// StableHLO's elementwise operations, for XLA to fuse with what uses the bits.
struct Written<'a> {
    block: &'a mut Block,
    ty: &'a TensorType,
    /// Those written already: rotations repeat.
    constants: HashMap<u32, Value>,
}

impl Words for Written<'_> {
    type Word = Value;

    fn constant(&mut self, value: u32) -> Value {
        self.constants.entry(value).or_insert_with(|| self.block.splat(self.ty, f64::from(value))).clone()
    }

    fn add(&mut self, a: &Value, b: &Value) -> Value {
        self.block.binary("stablehlo.add", a, b, self.ty)
    }

    fn xor(&mut self, a: &Value, b: &Value) -> Value {
        self.block.binary("stablehlo.xor", a, b, self.ty)
    }

    fn rotate_left(&mut self, a: &Value, bits: u32) -> Value {
        let (up, down) = (self.constant(bits), self.constant(32 - bits));
        let high = self.block.binary("stablehlo.shift_left", a, &up, self.ty);
        let low = self.block.binary("stablehlo.shift_right_logical", a, &down, self.ty);
        self.block.binary("stablehlo.or", &high, &low, self.ty)
    }
}

/// Counts operations on a word in place of making them.
struct Counted(usize);

impl Words for Counted {
    type Word = ();

    fn constant(&mut self, _: u32) {}

    fn add(&mut self, (): &(), (): &()) {
        self.0 += 1;
    }

    fn xor(&mut self, (): &(), (): &()) {
        self.0 += 1;
    }

    /// Two shifts and an or.
    fn rotate_left(&mut self, (): &(), _: u32) {
        self.0 += 3;
    }
}

/// Operations of the cipher on one pair of words.
fn threefry_flops() -> usize {
    let mut counted = Counted(0);
    threefry(&mut counted, [(), ()], [(), ()]);
    counted.0
}

impl Op for Threefry2x32 {
    fn name(&self) -> &'static str {
        "threefry2x32"
    }

    fn properties(&self) -> Properties {
        Properties::SAVE
    }

    fn equals(&self, other: &dyn Op) -> bool {
        same(self, other)
    }

    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, TypeError> {
        let [first, others @ ..] = operands else { return Err(TypeError::Arity { expected: 4, found: 0 }) };
        if others.len() != 3 {
            return Err(TypeError::Arity { expected: 4, found: operands.len() });
        }
        first.require(first.dtype == DType::U32, || "keys and counters must be u32".to_owned())?;
        others.iter().try_for_each(|other| first.require_same(other).map(|_| ()))?;
        Ok(vec![first.clone(), first.clone()])
    }

    fn lower(&self, operands: &[Value], results: &[TensorType], block: &mut Block) -> Vec<Value> {
        let [key0, key1, counter0, counter1] = std::array::from_fn(|i| operands[i].clone());
        let mut words = Written { block, ty: &results[0], constants: HashMap::new() };
        threefry(&mut words, [key0, key1], [counter0, counter1]).into()
    }

    fn vjp<'t>(&self, _: &[Tensor<'t>], _: &[Tensor<'t>], _: &[Option<Tensor<'t>>]) -> Vec<Option<Tensor<'t>>> {
        vec![None; 4]
    }

    fn jvp<'t>(&self, _: &[Tensor<'t>], _: &[Tensor<'t>], _: &[Option<Tensor<'t>>]) -> Vec<Option<Tensor<'t>>> {
        vec![None; 2]
    }

    fn eval(&self, operands: &[ArrayD<f64>], _: &[TensorType]) -> Vec<ArrayD<f64>> {
        let [key0, key1, counter0, counter1] = operands else { return Vec::new() };
        let pairs = Zip::from(key0).and(key1).and(counter0).and(counter1).map_collect(|&k0, &k1, &c0, &c1| {
            threefry(&mut Exact, [k0 as u32, k1 as u32], [c0 as u32, c1 as u32]).map(f64::from)
        });
        [0, 1].map(|i| pairs.mapv(|pair| pair[i])).into()
    }

    /// Sums, exclusive ors and shifts as they are written.
    fn cost(&self, operands: &[TensorType], results: &[TensorType]) -> Cost {
        let flops = threefry_flops() * results[0].shape.elements();
        Cost::moving(operands.iter().chain(results)).with_flops(flops)
    }

    fn samples() -> Vec<Sample> {
        let words = |values: [i64; 3]| sample::integers(DType::U32, &[3], &values);
        let operands = vec![
            words([0, 0xffff_ffff, 0x1319_8a2e]),
            words([0, 0xffff_ffff, 0x0370_7344]),
            words([0, 0xffff_ffff, 0x243f_6a88]),
            words([0, 0xffff_ffff, 0x85a3_08d3]),
        ];
        vec![Sample::of_op(Threefry2x32, operands)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that come with Random123.
    #[test]
    fn agrees_with_random123() {
        let sample = Threefry2x32::samples().remove(0);
        let operands: Vec<ArrayD<f64>> = sample.operands.iter().map(|operand| operand.to_f64_array()).collect();
        let ty = sample.operands[0].ty().clone();
        let results = Threefry2x32.eval(&operands, &[ty.clone(), ty]);
        let words: Vec<Vec<u32>> =
            results.iter().map(|words| words.iter().map(|&word| word as u32).collect()).collect();
        assert_eq!(words[0], [0x6b20_0159, 0x1cb9_96fc, 0xc492_3a9c]);
        assert_eq!(words[1], [0x99ba_4efe, 0xbb00_2be7, 0x483d_f7a0]);
    }
}
