//! The moving average of the parameters to sample from.

use twinflow_array::DType;
use twinflow_compiler::Tensor;

/// Decay of the average to sample from: `min(decay, (1 + n) / (10 + n))` after n updates, so that a long average
/// forgets the random start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AverageDecay(pub f64);

impl AverageDecay {
    /// The decay of the update that follows `updates` (integer scalar) earlier ones, f32.
    #[track_caller]
    pub fn at(self, updates: Tensor<'_>) -> Tensor<'_> {
        let n = updates.convert(DType::F32);
        ((n + 1.0) / (n + 10.0)).minimum(self.0)
    }
}
