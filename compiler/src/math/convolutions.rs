//! Convolutions and their transposes.

use crate::{
    ops::{conv_config::ConvConfig, convolution::Convolution},
    trace::Tensor,
};

impl<'t> Tensor<'t> {
    /// NHWC convolved with a kernel HWIO gives NHWC (any number of spatial dims). The kernel is not flipped, as in all
    /// neural-network libraries; with g groups its I is the channels of one group.
    /// [`Trace::compute_in`](crate::Trace::compute_in) sets the type that is multiplied in.
    #[track_caller]
    pub fn conv(self, kernel: Tensor<'t>, config: ConvConfig) -> Tensor<'t> {
        self.apply(Convolution { config, compute: self.trace().compute() }, [self, kernel])
    }

    /// Upsampling by `stride`: NHWC and a kernel HWIO give sizes `(n - 1) stride + k - 2 padding`.
    ///
    /// The kernel is not flipped (as Flax's `ConvTranspose`): PyTorch's weights must be reversed along H and W.
    #[track_caller]
    pub fn conv_transpose(self, kernel: Tensor<'t>, stride: usize, padding: usize) -> Tensor<'t> {
        let shape = kernel.shape();
        let spatial = shape.rank().saturating_sub(2);
        let overhang = |i: usize| shape[i] as i64 - 1 - padding as i64;
        let config = ConvConfig {
            padding: (0..spatial).map(|i| (overhang(i), overhang(i))).collect(),
            lhs_dilation: vec![stride; spatial],
            ..ConvConfig::new(spatial)
        };
        self.conv(kernel, config)
    }
}
