//! Convolutions and their transposes.

use twinflow_array::DType;

use crate::{
    ops::convolution::{ConvConfig, Convolution},
    trace::Tensor,
};

impl<'t> Tensor<'t> {
    /// NHWC convolved with a kernel HWIO gives NHWC (any number of spatial dims). The kernel is not flipped, as in all
    /// neural-network libraries; with g groups its I is the channels of one group.
    #[track_caller]
    pub fn conv(self, kernel: Tensor<'t>, config: ConvConfig) -> Tensor<'t> {
        self.conv_in(kernel, config, None)
    }

    /// [`Tensor::conv`], multiplied in `compute` and summed in the operands' type.
    #[track_caller]
    pub fn conv_in(self, kernel: Tensor<'t>, config: ConvConfig, compute: Option<DType>) -> Tensor<'t> {
        self.apply(Convolution { config, compute }, [self, kernel])
    }

    /// Upsampling by `stride`: NHWC and a kernel HWIO give sizes `(n - 1) stride + k - 2 padding`.
    ///
    /// The kernel is not flipped (as Flax's `ConvTranspose`): PyTorch's weights must be reversed along H and W.
    #[track_caller]
    pub fn conv_transpose(self, kernel: Tensor<'t>, stride: usize, padding: usize) -> Tensor<'t> {
        self.conv_transpose_in(kernel, stride, padding, None)
    }

    /// [`Tensor::conv_transpose`], multiplied in `compute` and summed in the operands' type.
    #[track_caller]
    pub fn conv_transpose_in(
        self,
        kernel: Tensor<'t>,
        stride: usize,
        padding: usize,
        compute: Option<DType>,
    ) -> Tensor<'t> {
        let shape = kernel.shape();
        let spatial = shape.rank().saturating_sub(2);
        let overhang = |i: usize| shape[i] as i64 - 1 - padding as i64;
        let config = ConvConfig {
            padding: (0..spatial).map(|i| (overhang(i), overhang(i))).collect(),
            lhs_dilation: vec![stride; spatial],
            ..ConvConfig::new(spatial)
        };
        self.conv_in(kernel, config, compute)
    }
}
