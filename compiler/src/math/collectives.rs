//! What replicas compute together.

use crate::{ops::all_reduce::AllReduceSum, trace::Tensor};

impl<'t> Tensor<'t> {
    /// The sum over all replicas, the same on each. Its derivatives are those of the sum of the replicas' losses.
    #[track_caller]
    pub fn all_reduce_sum(self) -> Tensor<'t> {
        self.apply(AllReduceSum, [self])
    }

    /// The mean over all replicas, the same on each. Its derivatives are those of the sum of the replicas' losses.
    #[track_caller]
    pub fn all_reduce_mean(self) -> Tensor<'t> {
        let replicas = self.trace().scalar(self.dtype(), 1.0).all_reduce_sum();
        self.all_reduce_sum() / replicas
    }
}
