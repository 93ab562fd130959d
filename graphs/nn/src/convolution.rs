//! Convolutions over height and width.

use twinflow_array::Tree;
use twinflow_compiler::{ConvConfig, Tensor};

use crate::Init;

/// A convolution with square kernels that divides height and width by its stride.
#[derive(Clone, Debug, Tree)]
pub struct Conv2d<L> {
    /// HWIO.
    #[tree(layout = "conv")]
    pub weight: L,
    /// `[out]`.
    pub bias: L,
    /// Steps of the kernel.
    pub stride: usize,
}

/// A transposed convolution with square kernels that multiplies height and width by its stride.
#[derive(Clone, Debug, Tree)]
pub struct ConvTranspose2d<L> {
    /// HWIO; not flipped, so that PyTorch's weights must be reversed along H and W.
    #[tree(layout = "conv_transpose")]
    pub weight: L,
    /// `[out]`.
    pub bias: L,
    /// Distance of the input's pixels in the output; the kernel is longer than it by an even number.
    pub stride: usize,
}

impl Conv2d<Init> {
    /// Normal weights of variance 2 / inputs (He et al. 2015), zero bias, stride 1.
    pub fn he(side: usize, inputs: usize, outputs: usize) -> Self {
        let std = (2.0 / (side * side * inputs) as f64).sqrt();
        let weight = Init::normal([side, side, inputs, outputs], std);
        Conv2d { weight, bias: Init::zeros([outputs]), stride: 1 }
    }

    /// Weight and bias uniform in `+-1 / sqrt(inputs)`, inputs all that an output sees, as PyTorch's `nn.Conv2d` starts;
    /// stride 1.
    pub fn fan_in(side: usize, inputs: usize, outputs: usize) -> Self {
        let bound = 1.0 / ((side * side * inputs) as f64).sqrt();
        let weight = Init::uniform([side, side, inputs, outputs], bound);
        Conv2d { weight, bias: Init::uniform([outputs], bound), stride: 1 }
    }

    /// All zero, stride 1: the layer's branch starts switched off.
    pub fn zeros(side: usize, inputs: usize, outputs: usize) -> Self {
        Conv2d { weight: Init::zeros([side, side, inputs, outputs]), bias: Init::zeros([outputs]), stride: 1 }
    }

    /// With this stride.
    pub fn with_stride(self, stride: usize) -> Self {
        Conv2d { stride, ..self }
    }
}

impl ConvTranspose2d<Init> {
    /// Normal weights of variance 2 / inputs (He et al. 2015), of which an output sees `(side / stride)^2` pixels; zero
    /// bias.
    pub fn he(side: usize, stride: usize, inputs: usize, outputs: usize) -> Self {
        let std = (2.0 * (stride * stride) as f64 / (side * side * inputs) as f64).sqrt();
        let weight = Init::normal([side, side, inputs, outputs], std);
        ConvTranspose2d { weight, bias: Init::zeros([outputs]), stride }
    }
}

impl<'t> Conv2d<Tensor<'t>> {
    /// x `[b, h, w, in]` -> `[b, h / stride, w / stride, out]`.
    #[track_caller]
    pub fn forward(&self, x_bhwc: Tensor<'t>) -> Tensor<'t> {
        let border = self.weight.dim(0) - self.stride;
        let padding = vec![(border.div_ceil(2) as i64, (border / 2) as i64); 2];
        let config = ConvConfig { padding, ..ConvConfig::new(2).with_stride(self.stride) };
        x_bhwc.conv(self.weight, config) + self.bias
    }
}

impl<'t> ConvTranspose2d<Tensor<'t>> {
    /// x `[b, h, w, in]` -> `[b, h stride, w stride, out]`.
    #[track_caller]
    pub fn forward(&self, x_bhwc: Tensor<'t>) -> Tensor<'t> {
        let padding = (self.weight.dim(0) - self.stride) / 2;
        x_bhwc.conv_transpose(self.weight, self.stride, padding) + self.bias
    }
}
