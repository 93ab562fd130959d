//! What a training step asks of a method.

use twinflow_array::{DType, HostArray, Leaf, TensorType};
use twinflow_compiler::{Key, Tensor};
use twinflow_nn::{Condition, Denoiser, Params};

/// A way to train a denoiser, for one phase of a run. Its loss terms and its state are named values: metrics, messages
/// and checkpoints iterate over them, so that a new one is spelled out in its method alone.
pub trait Method: Send + Sync {
    /// The phase's name in metrics, checkpoints and programs.
    fn name(&self) -> &'static str;

    /// Names of what the loss consists of, as metrics.jsonl has them, in the order of [`Loss::terms`].
    fn terms(&self) -> &'static [&'static str];

    /// The parts that the rows of the global batch are divided into, in order.
    fn parts(&self) -> Vec<BatchPart>;

    /// What the method keeps from step to step besides the trained parameters, by name, and how it starts when the phase
    /// begins.
    fn state(&self, trained: &Params<TensorType>) -> Params<Start>;

    /// The loss of one micro-batch of one device.
    fn loss<'t>(&self, inputs: &LossInputs<'_, 't>) -> Loss<'t>;

    /// The method's state after an update of the trained parameters to `trained`.
    fn after_update<'t>(&self, state: Params<Tensor<'t>>, trained: &Params<Tensor<'t>>) -> Params<Tensor<'t>>;
}

/// A run of rows of the global batch that a method treats alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPart {
    /// As messages say it.
    pub name: &'static str,
    /// Samples of the global batch in it.
    pub size: usize,
}

/// How the global batch is dealt out, and what it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchShape {
    /// Samples of all processes and devices in one step.
    pub samples: usize,
    /// Equal shares: processes x devices x micro-batches.
    pub shards: usize,
    /// Classes of the dataset.
    pub classes: usize,
}

/// What a loss is computed from. The first dim of every tensor of the batch runs over its rows, part by part.
pub struct LossInputs<'a, 't> {
    /// Called with the parameters, as often as the method needs.
    pub denoiser: &'a dyn Denoiser,
    /// All its parameters.
    pub params: &'a Params<Tensor<'t>>,
    /// Types of those that are trained.
    pub trained: &'a Params<TensorType>,
    /// The method's state.
    pub state: &'a Params<Tensor<'t>>,
    /// f32 in [-1, 1], `[b, ..]`.
    pub samples: Tensor<'t>,
    /// What they show.
    pub condition: &'a Condition<Tensor<'t>>,
    /// The value of "no condition" for each of them.
    pub null_condition: &'a Condition<Tensor<'t>>,
    /// Place of each sample in the global batch, u32 `[b]`: random numbers depend on it.
    pub rows: Tensor<'t>,
    /// The step's key.
    pub key: Key<'t>,
}

/// A loss and what it consists of, f32 scalars; means over samples.
#[derive(Clone, Debug)]
pub struct Loss<'t> {
    /// What is minimised.
    pub total: Tensor<'t>,
    /// In the order of [`Method::terms`].
    pub terms: Vec<Tensor<'t>>,
}

/// A value of a method's state when its phase begins.
#[derive(Clone, Debug, PartialEq)]
pub enum Start {
    /// A copy of the trained parameter with this number.
    Trained(usize, TensorType),
    /// A number, f32.
    Number(f32),
}

impl Leaf for Start {}

impl Start {
    /// The value's type.
    pub fn ty(&self) -> TensorType {
        match self {
            Start::Trained(_, ty) => ty.clone(),
            Start::Number(_) => TensorType::f32([]),
        }
    }

    /// The value on the host.
    pub fn on_host(&self, trained: &Params<HostArray>) -> HostArray {
        match self {
            Start::Trained(index, _) => trained.leaves()[*index].clone(),
            Start::Number(number) => HostArray::scalar(*number),
        }
    }

    /// The value in a program that has the trained parameters.
    pub fn traced<'t>(&self, trained: &Params<Tensor<'t>>) -> Tensor<'t> {
        match self {
            Start::Trained(index, _) => trained.leaves()[*index],
            Start::Number(number) => trained.leaves()[0].trace().scalar(DType::F32, f64::from(*number)),
        }
    }
}
