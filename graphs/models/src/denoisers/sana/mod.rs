//! SANA: a transformer for text to image with linear attention (Xie et al. 2024), of two times.
//!
//! Suffixes: b batch, t image tokens, n prompt tokens, d width, p patch elements; of images `bhwc`.

mod block;
mod embeddings;

use serde::{Deserialize, Serialize};
use twinflow_array::{TensorType, Tree, map};
use twinflow_compiler::{Tensor, scan};
use twinflow_nn::{
    Condition, ConfigError, Conv2d, Denoiser, DenoiserInput, Init, Linear, Params, TargetTime, TimeSign, layer_norm,
    require, require_multiple,
};

use self::{
    block::{Prompt, SanaBlock, modulate},
    embeddings::{PromptEmbedding, SanaTimes},
};
use crate::denoisers::{
    DataSpec, Remat, TextSpec,
    patches::{PatchOrder, unpatchify},
};

/// `[model]` with `kind = "sana"`. The defaults are those of SANA-0.6B.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SanaConfig {
    /// Width of a token; a multiple of `heads` and of `cross_heads`.
    pub width: usize,
    /// Transformer blocks.
    pub depth: usize,
    /// Heads of the linear attention of image tokens to each other.
    pub heads: usize,
    /// Heads of the attention of image tokens to the prompt.
    pub cross_heads: usize,
    /// Hidden channels of the Mix-FFN over `width`; a fraction of a channel is dropped.
    pub mlp_ratio: f64,
    /// Side of the square patches that become tokens.
    pub patch: usize,
    /// Normalise queries and keys over all heads together (SANA-1.5).
    pub qk_norm: bool,
    /// How the target time enters.
    pub target_time: TargetTime,
    /// How the sign of the time is seen. `signed` is what the method's public implementation does.
    pub time_sign: TimeSign,
    /// What is computed again in the backward pass in place of being kept.
    pub remat: Remat,
}

impl Default for SanaConfig {
    fn default() -> Self {
        SanaConfig {
            width: 1152,
            depth: 28,
            heads: 36,
            cross_heads: 16,
            mlp_ratio: 2.5,
            patch: 1,
            qk_norm: false,
            target_time: TargetTime::Difference,
            time_sign: TimeSign::Signed,
            remat: Remat::None,
        }
    }
}

impl SanaConfig {
    /// Builds it for samples of `data`, whose height and width the patch must divide, with prompts.
    ///
    /// # Errors
    /// [`ConfigError`] if a value is not allowed or does not fit the data.
    pub fn build(&self, data: DataSpec) -> Result<Sana, ConfigError> {
        let SanaConfig { width, depth, heads, cross_heads, mlp_ratio, patch, .. } = *self;
        let text = data.text_for("sana")?;
        require(depth > 0, "model.depth", depth, "at least 1")?;
        require(width > 0, "model.width", width, "at least 1")?;
        require_multiple("model.width", width, "model.heads", heads)?;
        require_multiple("model.width", width, "model.cross_heads", cross_heads)?;
        let usable = self.hidden() > 0 && mlp_ratio <= 64.0;
        require(usable, "model.mlp_ratio", mlp_ratio, "from one hidden channel up to 64")?;
        require_multiple("data.height", data.sample[0], "model.patch", patch)?;
        require_multiple("data.width", data.sample[1], "model.patch", patch)?;
        Ok(Sana { layers: self.layers(data.sample[2], text), config: self.clone(), text })
    }

    /// Hidden channels of the Mix-FFN.
    fn hidden(&self) -> usize {
        (self.mlp_ratio * self.width as f64) as usize
    }

    fn layers(&self, channels: usize, text: TextSpec) -> SanaLayers<Init> {
        let SanaConfig { width, patch, .. } = *self;
        let block = SanaBlock::new(self);
        SanaLayers {
            patch_embedding: Conv2d::fan_in(patch, channels, width).with_stride(patch),
            times: SanaTimes::new(width, self.target_time, self.time_sign),
            prompt: PromptEmbedding::new(text.width, width),
            blocks: map(&block, |_, init| init.stacked(self.depth)),
            final_modulation: Init::normal([2, width], 1.0 / (width as f64).sqrt()),
            final_projection: Linear::fan_in(width, patch * patch * channels),
        }
    }
}

/// A [`SanaConfig`] for samples of a size.
#[derive(Clone, Debug)]
pub struct Sana {
    layers: SanaLayers<Init>,
    config: SanaConfig,
    text: TextSpec,
}

/// External names are those of diffusers' `SanaTransformer2DModel`, first values those that its class starts with;
/// `time_embed_2` is the target time's.
#[derive(Clone, Debug, Tree)]
struct SanaLayers<L> {
    #[tree(external = "patch_embed.proj")]
    patch_embedding: Conv2d<L>,
    #[tree(external = "")]
    times: SanaTimes<L>,
    #[tree(external = "")]
    prompt: PromptEmbedding<L>,
    /// Stacked: the first dim of each leaf runs over the depth.
    #[tree(name = "blocks/*", external = "transformer_blocks.*")]
    blocks: SanaBlock<L>,
    /// Shift and scale after the last block, to which the embedded time is added: `[2, width]`.
    #[tree(external = "scale_shift_table")]
    final_modulation: L,
    #[tree(external = "proj_out")]
    final_projection: Linear<L>,
}

impl Denoiser for Sana {
    fn parameters(&self) -> Params<Init> {
        Params::from_tree(self.layers.clone())
    }

    fn condition(&self) -> Condition<TensorType> {
        self.text.condition()
    }

    fn velocity<'t>(&self, params: &Params<Tensor<'t>>, input: &DenoiserInput<Tensor<'t>>) -> Tensor<'t> {
        let DenoiserInput { x, t, r, .. } = *input;
        let (text_bnc, mask_bn) = input.condition.text_of(x);
        let layers: SanaLayers<Tensor<'t>> = params.to_tree(&self.layers);
        let trace = x.trace();
        let tokens_bhwd = trace.scope("patch_embedding", || layers.patch_embedding.forward(x));
        let (modulation_b6d, time_bd) = trace.scope("times", || layers.times.forward(t, r));
        let prompt = trace.scope("prompt", || Prompt::new(layers.prompt.forward(text_bnc), mask_bn));
        let (tokens_bhwd, _) = trace.scope("blocks", || {
            scan(&tokens_bhwd, &layers.blocks, |x_bhwd: Tensor<'t>, block: SanaBlock<Tensor<'t>>| {
                (self.block(x_bhwd, block, modulation_b6d, prompt), None::<Tensor<'t>>)
            })
        });
        trace.scope("final", || self.velocity_of_tokens(&layers, tokens_bhwd, time_bd))
    }
}

impl Sana {
    fn block<'t>(
        &self,
        x_bhwd: Tensor<'t>,
        block: SanaBlock<Tensor<'t>>,
        modulation_b6d: Tensor<'t>,
        prompt: Prompt<'t>,
    ) -> Tensor<'t> {
        self.config.remat.run((x_bhwd, block), |(x_bhwd, block): (Tensor<'t>, SanaBlock<Tensor<'t>>)| {
            block.forward(x_bhwd, modulation_b6d, prompt)
        })
    }

    fn velocity_of_tokens<'t>(
        &self,
        layers: &SanaLayers<Tensor<'t>>,
        x_bhwd: Tensor<'t>,
        time_bd: Tensor<'t>,
    ) -> Tensor<'t> {
        let modulation = (layers.final_modulation + time_bd.expand_dims(1)).split(1, &[1; 2]);
        let x_bhwd = modulate(layer_norm(x_bhwd), modulation[0], modulation[1]);
        let patches_bhwp = layers.final_projection.forward(x_bhwd);
        let [b, h, w, p] = [0, 1, 2, 3].map(|dim| patches_bhwp.dim(dim));
        let patches_btp = patches_bhwp.reshape([b, h * w, p]);
        unpatchify(patches_btp, [h, w], self.config.patch, PatchOrder::ChannelLast)
    }
}
