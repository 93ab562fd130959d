//! Stable Diffusion 3 and 3.5 (Esser et al. 2024), a transformer of two streams for text to image, of two times.
//!
//! Suffixes: b batch, t tokens, d width.

use serde::{Deserialize, Serialize};
use twinflow_array::{TensorType, Tree, map};
use twinflow_compiler::{Tensor, scan};
use twinflow_nn::{
    Condition, ConfigError, Conv2d, Denoiser, DenoiserInput, Init, Linear, Params, TargetTime, TimeSign,
    TimestepEmbedding, require, require_multiple,
};

use super::{
    DataSpec, Remat, TextSpec,
    mmdit::{AdaLn, AttentionLayers, FeedForward, FinalLayer, JointAttention, JointDims, scale_then_shift},
    patches::{PatchOrder, unpatchify},
    timesteps::TwoTimesteps,
};

/// `[model]` with `kind = "sd3"`: Stable Diffusion 3.5 medium, if it does not say otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sd3Config {
    /// Transformer blocks.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of a head.
    pub head_width: usize,
    /// Side of the square patches of latents that are tokens.
    pub patch: usize,
    /// The first so many blocks have a second attention, of the picture's tokens among themselves.
    pub dual_attention_layers: usize,
    /// Normalise queries and keys.
    pub qk_norm: bool,
    /// Width of a prompt's pooled embedding.
    pub pooled_width: usize,
    /// Side of the stored grid of positions, in patches: pictures may be as large.
    pub pos_embed_max_size: usize,
    /// Side of the pictures of latents that the steps between positions are made for.
    pub sample_size: usize,
    /// How the target time enters.
    pub target_time: TargetTime,
    /// How the sign of the time is seen. `signed` is what the method's public implementation does.
    pub time_sign: TimeSign,
    /// What is computed again in the backward pass in place of being kept.
    pub remat: Remat,
}

impl Default for Sd3Config {
    fn default() -> Self {
        Sd3Config {
            depth: 24,
            heads: 24,
            head_width: 64,
            patch: 2,
            dual_attention_layers: 13,
            qk_norm: true,
            pooled_width: 2048,
            pos_embed_max_size: 384,
            sample_size: 128,
            target_time: TargetTime::Difference,
            time_sign: TimeSign::Signed,
            remat: Remat::None,
        }
    }
}

impl Sd3Config {
    /// Builds it for latents and prompts of `data`, whose height and width the patch must divide. Class labels and masks
    /// of prompts are not read.
    ///
    /// # Errors
    /// [`ConfigError`] if a value is not allowed or does not fit the samples, or the data have no prompts.
    pub fn build(&self, data: DataSpec) -> Result<Sd3, ConfigError> {
        let positive = |key, value: usize| require(value > 0, key, value, "at least 1");
        positive("model.depth", self.depth)?;
        positive("model.heads", self.heads)?;
        positive("model.head_width", self.head_width)?;
        positive("model.pooled_width", self.pooled_width)?;
        let dual = self.dual_attention_layers;
        require(dual <= self.depth, "model.dual_attention_layers", dual, "at most model.depth")?;
        require_multiple("model.heads x model.head_width", self.width(), "the 4 waves of the position embedding", 4)?;
        require_multiple("model.sample_size", self.sample_size, "model.patch", self.patch)?;
        positive("model.sample_size", self.sample_size)?;
        for (key, side) in [("data.height", data.sample[0]), ("data.width", data.sample[1])] {
            require_multiple(key, side, "model.patch", self.patch)?;
            let fits = side / self.patch <= self.pos_embed_max_size;
            require(fits, key, side, "at most model.patch x model.pos_embed_max_size")?;
        }
        let text = data.text_for("sd3")?;
        Ok(Sd3 { layers: self.layers(data.sample[2], text.width), config: self.clone(), text })
    }

    fn width(&self) -> usize {
        self.heads * self.head_width
    }

    fn layers(&self, channels: usize, text_width: usize) -> Sd3Layers<Init> {
        let (width, dual, last) = (self.width(), self.dual_attention_layers, self.depth - 1);
        let run = |is_dual: bool, blocks: usize| {
            (blocks > 0).then(|| map(&self.block(is_dual, false), |_, init| init.stacked(blocks)))
        };
        let step = self.sample_size as f64 / (self.patch * self.pos_embed_max_size) as f64;
        Sd3Layers {
            positions: Init::position_grid(self.pos_embed_max_size, width, step).fixed(),
            patch_embedding: Conv2d::fan_in(self.patch, channels, width).with_stride(self.patch),
            times: self.times(width),
            pooled_up: Linear::fan_in(self.pooled_width, width),
            pooled_down: Linear::fan_in(width, width),
            text_in: Linear::fan_in(text_width, width),
            dual_blocks: run(true, dual.min(last)),
            blocks: run(false, last.saturating_sub(dual)),
            first_single: dual.min(last),
            last_block: map(&self.block(dual > last, true), |_, init| init.stacked(1)),
            last,
            final_layer: FinalLayer::new(width, self.patch * self.patch * channels),
        }
    }

    fn times(&self, width: usize) -> TwoTimesteps<Init> {
        let embedding = || TimestepEmbedding::normal(width, width, 0.02);
        let target_time = self.target_time.has_embedding().then(embedding);
        TwoTimesteps {
            time: TimestepEmbedding::new(width, width),
            target_time,
            sign: self.time_sign.embedding(width),
            join: self.target_time,
            time_sign: self.time_sign,
        }
    }

    fn block(&self, is_dual: bool, is_last: bool) -> Sd3Block<Init> {
        let width = self.width();
        let dims = JointDims { width, heads: self.heads, qk_norm: self.qk_norm };
        let attention = JointAttention::new(dims);
        Sd3Block {
            image_modulation: Linear::fan_in(width, if is_dual { 9 } else { 6 } * width),
            text_modulation: Linear::fan_in(width, if is_last { 2 } else { 6 } * width),
            attention: if is_last { attention.without_text_out() } else { attention },
            image_attention: is_dual.then(|| AttentionLayers::new(dims)),
            image_mlp: FeedForward::new(width),
            text_mlp: (!is_last).then(|| FeedForward::new(width)),
        }
    }
}

/// An [`Sd3Config`] for data.
#[derive(Clone, Debug)]
pub struct Sd3 {
    layers: Sd3Layers<Init>,
    config: Sd3Config,
    text: TextSpec,
}

/// External names are those of diffusers' `SD3Transformer2DModel`; `time_text_embed_2` is the target time's. Equal
/// blocks are stacked: the first dim of each leaf runs over them.
#[derive(Clone, Debug, Tree)]
struct Sd3Layers<L> {
    /// `[1, side * side, d]`: a table that is not trained, but that files hold among the parameters.
    #[tree(external = "pos_embed.pos_embed")]
    positions: L,
    #[tree(external = "pos_embed.proj")]
    patch_embedding: Conv2d<L>,
    #[tree(external = "")]
    times: TwoTimesteps<L>,
    #[tree(external = "time_text_embed.text_embedder.linear_1")]
    pooled_up: Linear<L>,
    #[tree(external = "time_text_embed.text_embedder.linear_2")]
    pooled_down: Linear<L>,
    #[tree(external = "context_embedder")]
    text_in: Linear<L>,
    #[tree(name = "dual_blocks/*", external = "transformer_blocks.*")]
    dual_blocks: Option<Sd3Block<L>>,
    #[tree(name = "blocks/*", external = "transformer_blocks.*", first = "first_single")]
    blocks: Option<Sd3Block<L>>,
    first_single: usize,
    /// A stack of one.
    #[tree(name = "last_block/*", external = "transformer_blocks.*", first = "last")]
    last_block: Sd3Block<L>,
    last: usize,
    #[tree(external = "")]
    final_layer: FinalLayer<L>,
}

/// One transformer block.
#[derive(Clone, Debug, Tree)]
struct Sd3Block<L> {
    #[tree(external = "norm1.linear")]
    image_modulation: Linear<L>,
    #[tree(external = "norm1_context.linear")]
    text_modulation: Linear<L>,
    #[tree(external = "attn")]
    attention: JointAttention<L>,
    /// The second attention of dual blocks.
    #[tree(external = "attn2")]
    image_attention: Option<AttentionLayers<L>>,
    #[tree(external = "ff")]
    image_mlp: FeedForward<L>,
    /// `None` in the last block, where the prompt's stream ends.
    #[tree(external = "ff_context")]
    text_mlp: Option<FeedForward<L>>,
}

impl Denoiser for Sd3 {
    fn parameters(&self) -> Params<Init> {
        Params::from_tree(self.layers.clone())
    }

    fn condition(&self) -> Condition<TensorType> {
        Condition {
            text: Some(TensorType::f32([self.text.tokens, self.text.width])),
            pooled_text: Some(TensorType::f32([self.config.pooled_width])),
            ..Condition::default()
        }
    }

    fn velocity<'t>(&self, params: &Params<Tensor<'t>>, input: &DenoiserInput<Tensor<'t>>) -> Tensor<'t> {
        let DenoiserInput { x, t, r, .. } = *input;
        let layers: Sd3Layers<Tensor<'t>> = params.to_tree(&self.layers);
        let (trace, patch) = (x.trace(), self.config.patch);
        let grid = [x.dim(1) / patch, x.dim(2) / patch];
        let (Some(text), Some(pooled)) = (input.condition.text, input.condition.pooled_text) else {
            trace.fail("condition", "the network reads prompts, also as one vector, and the batch has none")
        };
        let image_btd = trace.scope("patch_embedding", || self.embed_patches(&layers, x, grid));
        let text_btd = trace.scope("text_in", || layers.text_in.forward(text));
        let condition_b1d = trace.scope("condition", || {
            let pooled = layers.pooled_down.forward(layers.pooled_up.forward(pooled).silu());
            (layers.times.forward(t, r) + pooled).silu().expand_dims(1)
        });
        let streams = trace.scope("blocks", || {
            let runs = [&layers.dual_blocks, &layers.blocks].into_iter().flatten();
            runs.fold((image_btd, text_btd), |streams, blocks| self.run_blocks(streams, blocks, condition_b1d))
        });
        let last_block: Sd3Block<Tensor<'t>> = map(&layers.last_block, |_, leaf| leaf.squeeze(0));
        let image_btd = trace.scope("last_block", || {
            let run = |(streams, block): (_, Sd3Block<Tensor<'t>>)| block.forward(streams, condition_b1d).0;
            self.config.remat.run((streams, last_block), run)
        });
        let velocity = trace.scope("final", || layers.final_layer.forward(image_btd, condition_b1d));
        unpatchify(velocity, grid, patch, PatchOrder::ChannelLast)
    }
}

impl Sd3 {
    /// x `[b, height, width, channels]` -> `[b, t, d]`, with the positions in the middle of the stored grid.
    fn embed_patches<'t>(
        &self,
        layers: &Sd3Layers<Tensor<'t>>,
        x_bhwc: Tensor<'t>,
        [rows, columns]: [usize; 2],
    ) -> Tensor<'t> {
        let (width, side) = (self.config.width(), self.config.pos_embed_max_size);
        let (top, left) = ((side - rows) / 2, (side - columns) / 2);
        let positions = layers.positions.reshape([side, side, width]);
        let positions = positions.slice(&[top, left, 0], &[top + rows, left + columns, width]);
        let patches = layers.patch_embedding.forward(x_bhwc) + positions;
        patches.reshape([x_bhwc.dim(0), rows * columns, width])
    }

    fn run_blocks<'t>(
        &self,
        streams: (Tensor<'t>, Tensor<'t>),
        blocks: &Sd3Block<Tensor<'t>>,
        condition_b1d: Tensor<'t>,
    ) -> (Tensor<'t>, Tensor<'t>) {
        let step = |streams: (Tensor<'t>, Tensor<'t>), block| {
            let run = |(streams, block): (_, Sd3Block<Tensor<'t>>)| block.forward(streams, condition_b1d);
            (self.config.remat.run((streams, block), run), None::<Tensor<'t>>)
        };
        scan(&streams, blocks, step).0
    }
}

impl<'t> Sd3Block<Tensor<'t>> {
    /// Both streams after the block; the prompt's as it came where it ends here.
    fn forward(
        &self,
        (image_btd, text_btd): (Tensor<'t>, Tensor<'t>),
        condition_b1d: Tensor<'t>,
    ) -> (Tensor<'t>, Tensor<'t>) {
        let trace = image_btd.trace();
        let (image_modulation, text_modulation) = trace.scope("modulation", || {
            (self.image_modulation.forward(condition_b1d), self.text_modulation.forward(condition_b1d))
        });
        let Some(text_mlp) = &self.text_mlp else {
            let text = scale_then_shift(text_btd, text_modulation);
            return (self.image(image_btd, image_modulation, text).0, text_btd);
        };
        let [text_1, text_2] = AdaLn::branches(text_modulation);
        let (image_btd, text_mixed) = self.image(image_btd, image_modulation, text_1.enter(text_btd));
        let text_btd = text_mixed.map_or(text_btd, |mixed| text_1.leave(text_btd, mixed));
        let text_change = trace.scope("text_mlp", || text_mlp.forward(text_2.enter(text_btd)));
        (image_btd, text_2.leave(text_btd, text_change))
    }

    /// The picture's stream after the block, and what attention gave the prompt's.
    fn image(
        &self,
        image_btd: Tensor<'t>,
        modulation_b1m: Tensor<'t>,
        text_btd: Tensor<'t>,
    ) -> (Tensor<'t>, Option<Tensor<'t>>) {
        let trace = image_btd.trace();
        let (joint, mlp, own) = match &self.image_attention {
            None => {
                let [joint, mlp] = AdaLn::branches(modulation_b1m);
                (joint, mlp, None)
            }
            Some(attention) => {
                let [joint, mlp, own] = AdaLn::branches(modulation_b1m);
                (joint, mlp, Some((own, attention)))
            }
        };
        let (mixed, text_mixed) =
            trace.scope("attention", || self.attention.forward(joint.enter(image_btd), text_btd, None));
        let attended = joint.leave(image_btd, mixed);
        // Both attentions read what came into the block.
        let attended = own.map_or(attended, |(own, attention)| {
            let mixed = trace.scope("image_attention", || attention.forward(own.enter(image_btd)));
            own.leave(attended, mixed)
        });
        let change = trace.scope("image_mlp", || self.image_mlp.forward(mlp.enter(attended)));
        (mlp.leave(attended, change), text_mixed)
    }
}
