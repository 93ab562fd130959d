//! The transformer of Z-Image (diffusers' `ZImageTransformer2DModel`): blocks for the picture and for the prompt alone,
//! then blocks for both.
//!
//! Suffixes: b batch, t tokens, n tokens of the prompt, d width, p patch elements.

mod block;
mod places;
mod time;

use serde::{Deserialize, Serialize};
use twinflow_array::{ParamPath, TensorType, Tree, map};
use twinflow_compiler::{Tensor, concatenate, scan};
use twinflow_nn::{
    Condition, ConfigError, Denoiser, DenoiserInput, Init, Linear, Params, RmsNorm, TimeSign, layer_norm, require,
    require_multiple,
};

pub use time::ZImageTime;

use crate::denoisers::{
    DataSpec, Remat, TextSpec,
    patches::{PatchOrder, patchify, unpatchify},
};
use block::{Block, EPS, Stream};
use places::{Streams, missing};
use time::Times;

/// Side of the square patches that become tokens.
const PATCH: usize = 2;
/// The most channels of embedded times.
const MOST_TIME_CHANNELS: usize = 256;

/// `[model]` with `kind = "z_image"`. The defaults are the published network's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ZImageConfig {
    /// Blocks that see picture and prompt.
    pub depth: usize,
    /// Blocks that see the picture alone, and as many that see the prompt alone.
    pub refiner_depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// Channels of a head that turn with frame, row and column, even numbers; a head has no others.
    pub axes_dims_rope: [usize; 3],
    /// Hidden width of the embedding of a time.
    pub time_hidden: usize,
    /// How the times enter.
    pub target_time: ZImageTime,
    /// How the sign of the time is seen. `signed` is what the method's public implementation does.
    pub time_sign: TimeSign,
    /// What is computed again in the backward pass in place of being kept.
    pub remat: Remat,
}

impl Default for ZImageConfig {
    fn default() -> Self {
        ZImageConfig {
            depth: 30,
            refiner_depth: 2,
            heads: 30,
            axes_dims_rope: [32, 48, 48],
            time_hidden: 1024,
            target_time: ZImageTime::default(),
            time_sign: TimeSign::Signed,
            remat: Remat::None,
        }
    }
}

impl ZImageConfig {
    /// Builds it for samples of `data`, which have prompts and even heights and widths.
    ///
    /// # Errors
    /// [`ConfigError`] if a value is not allowed or does not fit the samples.
    pub fn build(&self, data: DataSpec) -> Result<ZImage, ConfigError> {
        let text = data.text_for("z_image")?;
        let positive = |key, value: usize| require(value > 0, key, value, "at least 1");
        positive("model.depth", self.depth)?;
        positive("model.refiner_depth", self.refiner_depth)?;
        positive("model.heads", self.heads)?;
        positive("model.time_hidden", self.time_hidden)?;
        let turns = self.axes_dims_rope.iter().all(|channels| *channels > 0 && channels.is_multiple_of(2));
        require(turns, "model.axes_dims_rope", self.axes_dims_rope, "even numbers above 0")?;
        require_multiple("data.height", data.sample[0], "the patches of z_image", PATCH)?;
        require_multiple("data.width", data.sample[1], "the patches of z_image", PATCH)?;
        Ok(ZImage { layers: self.layers(&data, text), config: self.clone(), data, text })
    }

    fn layers(&self, data: &DataSpec, text: TextSpec) -> ZImageLayers<Init> {
        let width = self.heads * self.axes_dims_rope.iter().sum::<usize>();
        let (patch_size, time) = (PATCH * PATCH * data.sample[2], width.min(MOST_TIME_CHANNELS));
        let stacked = |depth, time| map(&Block::new(width, self.heads, time), |_, init| init.stacked(depth));
        ZImageLayers {
            times: Times::new(self.time_hidden, time, (self.target_time, self.time_sign), &ParamPath::from("times")),
            patch_projection: Linear::fan_in(patch_size, width),
            patch_filling: Init::zeros([1, width]),
            prompt_norm: RmsNorm::with_eps(text.width, EPS),
            prompt_projection: Linear::fan_in(text.width, width),
            prompt_filling: Init::zeros([1, width]),
            picture_blocks: stacked(self.refiner_depth, Some(time)),
            prompt_blocks: stacked(self.refiner_depth, None),
            blocks: stacked(self.depth, Some(time)),
            final_modulation: Linear::fan_in(time, width),
            final_projection: Linear::fan_in(width, patch_size),
        }
    }
}

/// A [`ZImageConfig`] for samples of a size.
#[derive(Clone, Debug)]
pub struct ZImage {
    layers: ZImageLayers<Init>,
    config: ZImageConfig,
    data: DataSpec,
    text: TextSpec,
}

#[derive(Clone, Debug, Tree)]
struct ZImageLayers<L> {
    #[tree(external = "")]
    times: Times<L>,
    #[tree(external = "all_x_embedder.2-1")]
    patch_projection: Linear<L>,
    /// The token that fills up a picture.
    #[tree(external = "x_pad_token")]
    patch_filling: L,
    #[tree(external = "cap_embedder.0")]
    prompt_norm: RmsNorm<L>,
    #[tree(external = "cap_embedder.1")]
    prompt_projection: Linear<L>,
    /// The token that fills up a prompt.
    #[tree(external = "cap_pad_token")]
    prompt_filling: L,
    /// Stacked, as all blocks: the first dim of each leaf runs over the depth.
    #[tree(name = "picture_blocks/*", external = "noise_refiner.*")]
    picture_blocks: Block<L>,
    #[tree(name = "prompt_blocks/*", external = "context_refiner.*")]
    prompt_blocks: Block<L>,
    #[tree(name = "blocks/*", external = "layers.*")]
    blocks: Block<L>,
    #[tree(external = "all_final_layer.2-1.adaLN_modulation.1")]
    final_modulation: Linear<L>,
    #[tree(external = "all_final_layer.2-1.linear")]
    final_projection: Linear<L>,
}

impl Denoiser for ZImage {
    fn parameters(&self) -> Params<Init> {
        Params::from_tree(self.layers.clone())
    }

    fn condition(&self) -> Condition<TensorType> {
        self.text.condition()
    }

    fn velocity<'t>(&self, params: &Params<Tensor<'t>>, input: &DenoiserInput<Tensor<'t>>) -> Tensor<'t> {
        let DenoiserInput { x, t, r, .. } = *input;
        let (text_bnc, mask_bn) = input.condition.text_of(x);
        let layers: ZImageLayers<Tensor<'t>> = params.to_tree(&self.layers);
        let [height, width, _] = self.data.sample;
        let trace = x.trace();
        let time_bd = trace.scope("times", || layers.times.forward(t, r));
        let mask_bn = mask_bn.pad(0.0, &[(0, 0, 0), (0, missing(mask_bn.dim(1)) as i64, 0)]);
        let streams = Streams::new(mask_bn, [height / PATCH, width / PATCH], self.config.axes_dims_rope);
        let picture_btd = trace.scope("picture", || {
            self.blocks(layers.embed_picture(x), &layers.picture_blocks, streams.picture, time_bd)
        });
        let prompt_bnd = trace.scope("prompt", || {
            self.blocks(layers.embed_prompt(text_bnc, mask_bn), &layers.prompt_blocks, streams.prompt, time_bd)
        });
        let joint_btd = concatenate(&[picture_btd, prompt_bnd], 1);
        let joint_btd = trace.scope("blocks", || self.blocks(joint_btd, &layers.blocks, streams.joint, time_bd));
        trace.scope("final", || {
            let patches_btd = joint_btd.slice_dim(1, 0, height * width / (PATCH * PATCH));
            let scale_bd = layers.final_modulation.forward(time_bd.silu()) + 1.0;
            let changed_btd = layer_norm(patches_btd) * scale_bd.expand_dims(1);
            // The network was trained to predict data - noise.
            -unpatchify(
                layers.final_projection.forward(changed_btd),
                [height / PATCH, width / PATCH],
                PATCH,
                PatchOrder::ChannelLast,
            )
        })
    }
}

impl ZImage {
    /// The blocks one after the other.
    fn blocks<'t>(
        &self,
        x_btd: Tensor<'t>,
        blocks: &Block<Tensor<'t>>,
        stream: Stream<'t>,
        time_bd: Tensor<'t>,
    ) -> Tensor<'t> {
        let (x_btd, _) = scan(&x_btd, blocks, |x_btd: Tensor<'t>, block: Block<Tensor<'t>>| {
            let run = |(x_btd, block): (Tensor<'t>, Block<Tensor<'t>>)| block.forward(x_btd, stream, time_bd);
            let x_btd = self.config.remat.run((x_btd, block), run);
            (x_btd, None::<Tensor<'t>>)
        });
        x_btd
    }
}

impl<'t> ZImageLayers<Tensor<'t>> {
    /// `[b, height, width, channels]` -> `[b, t, d]`, filled up.
    fn embed_picture(&self, x_bhwc: Tensor<'t>) -> Tensor<'t> {
        let patches_btd = self.patch_projection.forward(patchify(x_bhwc, PATCH, PatchOrder::ChannelLast));
        let [b, tokens, width] = [0, 1, 2].map(|dim| patches_btd.dim(dim));
        match missing(tokens) {
            0 => patches_btd,
            more => concatenate(&[patches_btd, self.patch_filling.broadcast_to([b, more, width])], 1),
        }
    }

    /// `[b, tokens, c]` and a mask `[b, n]`, filled up -> `[b, n, d]`.
    fn embed_prompt(&self, text_bnc: Tensor<'t>, mask_bn: Tensor<'t>) -> Tensor<'t> {
        let more = (mask_bn.dim(1) - text_bnc.dim(1)) as i64;
        let tokens_bnd = self.prompt_projection.forward(self.prompt_norm.forward(text_bnc));
        let tokens_bnd = tokens_bnd.pad(0.0, &[(0, 0, 0), (0, more, 0), (0, 0, 0)]);
        mask_bn.ne(0.0).expand_dims(-1).select(tokens_bnd, self.prompt_filling)
    }
}
