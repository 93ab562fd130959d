//! DiT: the diffusion transformer with adaLN-Zero (Peebles & Xie 2023), of two times.
//!
//! Suffixes: b batch, t tokens, d width, p patch elements.

use serde::{Deserialize, Serialize};
use twinflow_array::{ParamPath, Tree, map};
use twinflow_compiler::{Tensor, remat, scan};
use twinflow_nn::{
    Attention, AttentionDims, ClassEmbedding, ConfigError, Denoiser, DenoiserInput, Init, Linear, Mlp, Params,
    TargetTime, TwoTimes, layer_norm, position_embedding_2d, require, require_multiple,
};

use crate::denoisers::{
    DataSpec,
    patches::{patchify, unpatchify},
};

/// `[model]` with `kind = "dit"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DitConfig {
    /// Width of a token; a multiple of `heads` and of 4.
    pub width: usize,
    /// Transformer blocks.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// Hidden width of the feed-forward layers over `width`.
    pub mlp_ratio: usize,
    /// Side of the square patches that become tokens.
    pub patch: usize,
    /// Normalise queries and keys.
    pub qk_norm: bool,
    /// How the target time enters.
    pub target_time: TargetTime,
    /// What is computed again in the backward pass in place of being kept.
    pub remat: Remat,
}

/// What is computed again in the backward pass in place of being kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remat {
    /// Nothing.
    #[default]
    None,
    /// Everything inside a block: memory for one block and each block's input, for a third more computation.
    Blocks,
}

impl Default for DitConfig {
    fn default() -> Self {
        DitConfig {
            width: 96,
            depth: 3,
            heads: 3,
            mlp_ratio: 4,
            patch: 4,
            qk_norm: false,
            target_time: TargetTime::default(),
            remat: Remat::None,
        }
    }
}

impl DitConfig {
    /// Builds it for samples of `data`, whose height and width the patch must divide.
    ///
    /// # Errors
    /// [`ConfigError`] if a value is not allowed or does not fit the samples.
    pub fn build(&self, data: DataSpec) -> Result<Dit, ConfigError> {
        let DitConfig { width, depth, heads, mlp_ratio, patch, .. } = *self;
        let positive = |key, value: usize| require(value > 0, key, value, "at least 1");
        positive("model.depth", depth)?;
        positive("model.mlp_ratio", mlp_ratio)?;
        positive("model.width", width)?;
        require_multiple("model.width", width, "model.heads", heads)?;
        require_multiple("model.width", width, "the 4 waves of the position embedding", 4)?;
        require_multiple("data.height", data.sample[0], "model.patch", patch)?;
        require_multiple("data.width", data.sample[1], "model.patch", patch)?;
        Ok(Dit { layers: self.layers(&data), config: self.clone(), data })
    }

    fn layers(&self, data: &DataSpec) -> DitLayers<Init> {
        let patch_size = self.patch * self.patch * data.sample[2];
        let block = DitBlock {
            modulation: Linear::zeros(self.width, 6 * self.width),
            attention: Attention::new(AttentionDims { width: self.width, heads: self.heads, qk_norm: self.qk_norm }),
            mlp: Mlp::new(self.width, self.mlp_ratio * self.width),
        };
        DitLayers {
            patch_embedding: Linear::xavier(patch_size, self.width),
            times: TwoTimes::new(self.width, self.target_time, &ParamPath::from("times")),
            class_embedding: ClassEmbedding::new(data.classes, self.width),
            blocks: map(&block, |_, init| init.stacked(self.depth)),
            final_modulation: Linear::zeros(self.width, 2 * self.width),
            final_projection: Linear::zeros(self.width, patch_size),
        }
    }
}

/// A [`DitConfig`] for samples of a size.
#[derive(Clone, Debug)]
pub struct Dit {
    layers: DitLayers<Init>,
    config: DitConfig,
    data: DataSpec,
}

/// External names are those of the public PyTorch implementation (facebookresearch/DiT), whose modules load them;
/// `r_embedder` is the target time's. Patches are linear layers here and there, flattened by row, column, channel.
#[derive(Clone, Debug, Tree)]
struct DitLayers<L> {
    #[tree(external = "x_embedder.proj")]
    patch_embedding: Linear<L>,
    #[tree(external = "")]
    times: TwoTimes<L>,
    #[tree(external = "y_embedder.embedding_table")]
    class_embedding: ClassEmbedding<L>,
    /// Stacked: the first dim of each leaf runs over the depth.
    #[tree(name = "blocks/*")]
    blocks: DitBlock<L>,
    #[tree(external = "final_layer.adaLN_modulation.1")]
    final_modulation: Linear<L>,
    #[tree(external = "final_layer.linear")]
    final_projection: Linear<L>,
}

/// One transformer block. The modulation starts at zero, so each block starts as the identity.
#[derive(Clone, Debug, Tree)]
struct DitBlock<L> {
    /// width -> shift, scale and gate of both halves.
    #[tree(external = "adaLN_modulation.1")]
    modulation: Linear<L>,
    #[tree(external = "attn")]
    attention: Attention<L>,
    mlp: Mlp<L>,
}

impl Denoiser for Dit {
    fn parameters(&self) -> Params<Init> {
        Params::from_tree(self.layers.clone())
    }

    fn velocity<'t>(&self, params: &Params<Tensor<'t>>, input: &DenoiserInput<Tensor<'t>>) -> Tensor<'t> {
        let DenoiserInput { x, t, r, .. } = *input;
        let labels = input.condition.labels_of(x);
        let layers: DitLayers<Tensor<'t>> = params.to_tree(&self.layers);
        let trace = x.trace();
        let tokens_btd = trace.scope("patch_embedding", || self.embed_patches(&layers, x));
        let condition_bd =
            trace.scope("condition", || (layers.times.forward(t, r) + layers.class_embedding.forward(labels)).silu());
        let (tokens_btd, _) = trace.scope("blocks", || {
            scan(&tokens_btd, &layers.blocks, |x_btd: Tensor<'t>, block: DitBlock<Tensor<'t>>| {
                (self.block(x_btd, block, condition_bd), None::<Tensor<'t>>)
            })
        });
        trace.scope("final", || self.velocity_of_tokens(&layers, tokens_btd, condition_bd))
    }
}

impl Dit {
    fn embed_patches<'t>(&self, layers: &DitLayers<Tensor<'t>>, x_bhwc: Tensor<'t>) -> Tensor<'t> {
        let [height, width, _] = self.data.sample;
        let (rows, columns) = (height / self.config.patch, width / self.config.patch);
        let positions = position_embedding_2d(x_bhwc.trace(), rows, columns, self.config.width);
        layers.patch_embedding.forward(patchify(x_bhwc, self.config.patch)) + positions
    }

    fn block<'t>(&self, x_btd: Tensor<'t>, block: DitBlock<Tensor<'t>>, condition_bd: Tensor<'t>) -> Tensor<'t> {
        match self.config.remat {
            Remat::None => block.forward(x_btd, condition_bd),
            Remat::Blocks => remat(&(x_btd, block), |(x_btd, block): (Tensor<'t>, DitBlock<Tensor<'t>>)| {
                block.forward(x_btd, condition_bd)
            }),
        }
    }

    fn velocity_of_tokens<'t>(
        &self,
        layers: &DitLayers<Tensor<'t>>,
        x_btd: Tensor<'t>,
        condition_bd: Tensor<'t>,
    ) -> Tensor<'t> {
        let modulation = layers.final_modulation.forward(condition_bd).split(-1, &[self.config.width; 2]);
        let x_btd = modulate(layer_norm(x_btd), modulation[0], modulation[1]);
        unpatchify(layers.final_projection.forward(x_btd), self.data.sample, self.config.patch)
    }
}

impl<'t> DitBlock<Tensor<'t>> {
    fn forward(&self, x_btd: Tensor<'t>, condition_bd: Tensor<'t>) -> Tensor<'t> {
        let (width, trace) = (x_btd.dim(-1), x_btd.trace());
        let modulation = trace.scope("modulation", || self.modulation.forward(condition_bd));
        let modulation = modulation.split(-1, &[width; 6]);
        let [shift_1, scale_1, gate_1, shift_2, scale_2, gate_2] = std::array::from_fn(|i| modulation[i]);
        let attended =
            trace.scope("attention", || self.attention.forward(modulate(layer_norm(x_btd), shift_1, scale_1)));
        let x_btd = x_btd + gate_1.expand_dims(1) * attended;
        let changed = trace.scope("mlp", || self.mlp.forward(modulate(layer_norm(x_btd), shift_2, scale_2)));
        x_btd + gate_2.expand_dims(1) * changed
    }
}

/// `x (1 + scale) + shift`, the same for every token of a sample.
fn modulate<'t>(x_btd: Tensor<'t>, shift_bd: Tensor<'t>, scale_bd: Tensor<'t>) -> Tensor<'t> {
    x_btd * (scale_bd.expand_dims(1) + 1.0) + shift_bd.expand_dims(1)
}
