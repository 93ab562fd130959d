//! Products of tensors.

use twinflow_array::Shape;

use crate::{
    ops::dot_general::{DotDims, DotGeneral},
    trace::Tensor,
};

impl<'t> Tensor<'t> {
    /// `[.., m, k] x [.., k, n] -> [.., m, n]`: leading dims are equal, or the right operand has two dims only.
    /// [`Trace::compute_in`](crate::Trace::compute_in) sets the type that is multiplied in.
    ///
    /// With a right operand of two dims the left's leading dims become one, so that the product and its derivatives are
    /// plain matrix products: XLA:CPU copies operands of others to transpose them.
    #[track_caller]
    pub fn matmul(self, other: Tensor<'t>) -> Tensor<'t> {
        let (left, right) = (self.rank(), other.rank());
        let batch: Vec<usize> = if right > 2 { (0..right - 2).collect() } else { Vec::new() };
        if left < 1 || right < 2 || (right > 2 && left != right) {
            let message = format!("{} and {} cannot be multiplied as matrices", self.ty(), other.ty());
            self.trace().fail("matmul", message);
        }
        // Operands that do not fit go on to the general product, whose message shows them as they are.
        if right == 2 && left > 2 && self.dim(-1) == other.dim(0) {
            let leading = &self.shape()[..left - 1];
            let shape: Shape = leading.iter().copied().chain([other.dim(1)]).collect();
            let rows = self.reshape([leading.iter().product(), self.dim(-1)]);
            return rows.matmul(other).reshape(shape);
        }
        let dims = DotDims {
            lhs_contract: vec![left - 1],
            rhs_contract: vec![right - 2],
            lhs_batch: batch.clone(),
            rhs_batch: batch,
        };
        self.dot_general(other, dims)
    }

    /// The product over any pairing of dims; multiplied as in [`Tensor::matmul`].
    #[track_caller]
    pub fn dot_general(self, other: Tensor<'t>, dims: DotDims) -> Tensor<'t> {
        self.apply(DotGeneral { dims, compute: self.trace().compute() }, [self, other])
    }
}
