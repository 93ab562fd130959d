//! Fully connected layer.

use twinflow_array::Tree;
use twinflow_compiler::Tensor;

use crate::Init;

/// `y = x weight + bias`.
#[derive(Clone, Debug, Tree)]
pub struct Linear<L> {
    /// `[in, out]`.
    #[tree(layout = "linear")]
    pub weight: L,
    /// `[out]`.
    pub bias: Option<L>,
}

impl Linear<Init> {
    /// Xavier-uniform weight, zero bias.
    pub fn xavier(inputs: usize, outputs: usize) -> Self {
        Linear { weight: Init::xavier_uniform(inputs, outputs), bias: Some(Init::zeros([outputs])) }
    }

    /// Normal weight, zero bias.
    pub fn normal(inputs: usize, outputs: usize, std: f64) -> Self {
        Linear { weight: Init::normal([inputs, outputs], std), bias: Some(Init::zeros([outputs])) }
    }

    /// Weight and bias uniform in `+-1 / sqrt(in)`, as PyTorch's `nn.Linear` starts.
    pub fn fan_in(inputs: usize, outputs: usize) -> Self {
        let bound = 1.0 / (inputs as f64).sqrt();
        Linear { weight: Init::uniform([inputs, outputs], bound), bias: Some(Init::uniform([outputs], bound)) }
    }

    /// The same without a bias.
    pub fn without_bias(self) -> Self {
        Linear { bias: None, ..self }
    }

    /// All zero: the layer's branch starts switched off.
    pub fn zeros(inputs: usize, outputs: usize) -> Self {
        Linear { weight: Init::zeros([inputs, outputs]), bias: Some(Init::zeros([outputs])) }
    }
}

impl<'t> Linear<Tensor<'t>> {
    /// x [.., in] -> [.., out].
    #[track_caller]
    pub fn forward(&self, x: Tensor<'t>) -> Tensor<'t> {
        let y = x.matmul(self.weight);
        match self.bias {
            Some(bias) => y + bias,
            None => y,
        }
    }
}
