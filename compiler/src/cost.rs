//! What an operation computes and moves.

use std::ops::{AddAssign, Mul};

use twinflow_array::TensorType;

/// What an operation or a program computes and moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Operations on numbers: a product and a sum are two; a function, comparison or integer operation of an element is
    /// one; changes of type or place are none.
    pub flops: u64,
    /// Those of them in matrix products and convolutions.
    pub product_flops: u64,
    /// Bytes read and written.
    pub bytes: u64,
}

impl Cost {
    /// The result is the operand under another name.
    pub const FREE: Cost = Cost { flops: 0, product_flops: 0, bytes: 0 };

    /// These arrays are read or written, each once.
    pub(crate) fn moving<'a>(arrays: impl IntoIterator<Item = &'a TensorType>) -> Self {
        Cost { bytes: arrays.into_iter().map(|ty| ty.bytes() as u64).sum(), ..Cost::FREE }
    }

    /// One operation for each element of `y`, from the operands `x`.
    pub(crate) fn elementwise<'a>(x: impl IntoIterator<Item = &'a TensorType>, y: &'a TensorType) -> Self {
        Cost::moving(x.into_iter().chain([y])).with_flops(y.shape.elements())
    }

    pub(crate) fn with_flops(self, flops: usize) -> Self {
        Cost { flops: flops as u64, ..self }
    }

    /// The same with so many pairs of a product and a sum.
    pub(crate) fn with_products(self, pairs: usize) -> Self {
        let flops = 2 * pairs as u64;
        Cost { flops, product_flops: flops, ..self }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Cost) {
        self.flops += other.flops;
        self.product_flops += other.product_flops;
        self.bytes += other.bytes;
    }
}

impl Mul<u64> for Cost {
    type Output = Cost;

    fn mul(self, times: u64) -> Cost {
        let Cost { flops, product_flops, bytes } = self;
        Cost { flops: flops * times, product_flops: product_flops * times, bytes: bytes * times }
    }
}
