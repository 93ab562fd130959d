//! A residual MLP for samples of a few numbers.

use serde::{Deserialize, Serialize};
use twinflow_array::{ParamPath, Tree, map};
use twinflow_compiler::{Tensor, scan};
use twinflow_nn::{
    ClassEmbedding, ConfigError, Denoiser, DenoiserInput, Init, Linear, Mlp, Params, TargetTime, TwoTimes, layer_norm,
    require,
};

use crate::denoisers::DataSpec;

/// `[model]` with `kind = "mlp"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MlpConfig {
    /// Width of the hidden layers.
    pub width: usize,
    /// Residual blocks.
    pub depth: usize,
    /// How the target time enters.
    pub target_time: TargetTime,
}

impl Default for MlpConfig {
    fn default() -> Self {
        MlpConfig { width: 128, depth: 3, target_time: TargetTime::default() }
    }
}

impl MlpConfig {
    /// Builds it for samples of `data`, of any shape.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if a value is not allowed.
    pub fn build(&self, data: DataSpec) -> Result<MlpNetwork, ConfigError> {
        require(self.width > 0, "model.width", self.width, "at least 1")?;
        require(self.depth > 0, "model.depth", self.depth, "at least 1")?;
        Ok(MlpNetwork { layers: self.layers(&data), data })
    }

    fn layers(&self, data: &DataSpec) -> MlpLayers<Init> {
        let size = data.sample.iter().product();
        let block = Mlp::new(self.width, 2 * self.width);
        MlpLayers {
            input: Linear::xavier(size, self.width),
            times: TwoTimes::new(self.width, self.target_time, &ParamPath::from("times")),
            class_embedding: ClassEmbedding::new(data.classes, self.width),
            blocks: map(&block, |_, init| init.stacked(self.depth)),
            output: Linear::zeros(self.width, size),
        }
    }
}

/// An [`MlpConfig`] for samples of a size.
#[derive(Clone, Debug)]
pub struct MlpNetwork {
    layers: MlpLayers<Init>,
    data: DataSpec,
}

#[derive(Clone, Debug, Tree)]
struct MlpLayers<L> {
    input: Linear<L>,
    times: TwoTimes<L>,
    class_embedding: ClassEmbedding<L>,
    /// Stacked: the first dim of each leaf runs over the depth.
    #[tree(name = "blocks/*")]
    blocks: Mlp<L>,
    output: Linear<L>,
}

impl Denoiser for MlpNetwork {
    fn parameters(&self) -> Params<Init> {
        Params::from_tree(self.layers.clone())
    }

    fn velocity<'t>(&self, params: &Params<Tensor<'t>>, input: &DenoiserInput<Tensor<'t>>) -> Tensor<'t> {
        let DenoiserInput { x, t, r, .. } = *input;
        let labels = input.condition.labels_of(x);
        let layers: MlpLayers<Tensor<'t>> = params.to_tree(&self.layers);
        let flat = x.reshape([x.dim(0), self.data.sample.iter().product()]);
        let trace = x.trace();
        let condition_bd =
            trace.scope("condition", || layers.times.forward(t, r) + layers.class_embedding.forward(labels));
        let hidden_bd = trace.scope("input", || layers.input.forward(flat));
        let (hidden_bd, _) = trace.scope("blocks", || {
            scan(&hidden_bd, &layers.blocks, |x_bd: Tensor<'t>, block: Mlp<Tensor<'t>>| {
                (x_bd + block.forward(layer_norm(x_bd) + condition_bd), None::<Tensor<'t>>)
            })
        });
        trace.scope("final", || layers.output.forward(layer_norm(hidden_bd)).reshape(x.shape()))
    }
}
