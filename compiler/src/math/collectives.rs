//! What replicas compute together.

use crate::{ops::all_reduce::AllReduceSum, trace::Tensor};

impl<'t> Tensor<'t> {
    /// The sum over all replicas, the same on each. Its derivatives are those of the sum of the replicas' losses.
    #[track_caller]
    pub fn all_reduce_sum(self) -> Tensor<'t> {
        self.apply(AllReduceSum, [self])
    }

    /// The mean over `replicas` replicas, as many as the program is compiled for, the same on each. Its derivatives are
    /// those of the sum of the replicas' losses.
    #[track_caller]
    pub fn all_reduce_mean(self, replicas: usize) -> Tensor<'t> {
        self.all_reduce_sum() * (1.0 / replicas as f64)
    }
}
