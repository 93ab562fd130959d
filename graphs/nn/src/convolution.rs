//! Convolutions over height and width.

use twinflow_array::Tree;
use twinflow_compiler::{ConvConfig, Tensor};

use crate::Init;

/// A convolution with square kernels that divides height and width by its stride.
#[derive(Clone, Debug, Tree)]
pub struct Conv2d<L> {
    /// HWIO; I is the channels of one group.
    #[tree(layout = "conv")]
    pub weight: L,
    /// `[out]`.
    pub bias: Option<L>,
    /// Steps of the kernel.
    pub stride: usize,
    /// Blocks of channels that are convolved apart; a divisor of both numbers of channels.
    pub groups: usize,
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
        Self::dense(Init::normal([side, side, inputs, outputs], std), Init::zeros([outputs]))
    }

    /// Weight and bias uniform in `+-1 / sqrt(inputs)`, inputs all that an output sees, as PyTorch's `nn.Conv2d` starts;
    /// stride 1.
    pub fn fan_in(side: usize, inputs: usize, outputs: usize) -> Self {
        let bound = 1.0 / ((side * side * inputs) as f64).sqrt();
        Self::dense(Init::uniform([side, side, inputs, outputs], bound), Init::uniform([outputs], bound))
    }

    /// Each channel by a kernel of its own, starting as [`Conv2d::fan_in`].
    pub fn depthwise(side: usize, channels: usize) -> Self {
        Conv2d { groups: channels, ..Self::fan_in(side, 1, channels) }
    }

    /// All zero, stride 1: the layer's branch starts switched off.
    pub fn zeros(side: usize, inputs: usize, outputs: usize) -> Self {
        Self::dense(Init::zeros([side, side, inputs, outputs]), Init::zeros([outputs]))
    }

    fn dense(weight: Init, bias: Init) -> Self {
        Conv2d { weight, bias: Some(bias), stride: 1, groups: 1 }
    }

    /// With this stride.
    pub fn with_stride(self, stride: usize) -> Self {
        Conv2d { stride, ..self }
    }

    /// The same without a bias.
    pub fn without_bias(self) -> Self {
        Conv2d { bias: None, ..self }
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
        let y_bhwc = self.convolve(x_bhwc);
        self.bias.map_or(y_bhwc, |bias| y_bhwc + bias)
    }

    fn convolve(&self, x_bhwc: Tensor<'t>) -> Tensor<'t> {
        let [side, inputs, outputs] = [0, 2, 3].map(|dim| self.weight.dim(dim));
        if [side, self.stride, self.groups] == [1; 3] {
            // A product of matrices, for which XLA has more than one kernel to choose from.
            return x_bhwc.matmul(self.weight.reshape([inputs, outputs]));
        }
        let border = side - self.stride;
        let padding = vec![(border.div_ceil(2) as i64, (border / 2) as i64); 2];
        let config = ConvConfig { padding, ..ConvConfig::new(2).with_stride(self.stride).with_groups(self.groups) };
        x_bhwc.conv(self.weight, config)
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
