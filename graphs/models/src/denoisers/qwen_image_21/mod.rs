//! The transformer of Qwen-Image-2.1 (diffusers' `QwenImage21Transformer2DModel`): one stream of tokens, the prompt with
//! pictures to go by in it, then the picture itself. What stands before the picture sees nothing of it and is
//! modulated with the time 0, so that it is the same at every time.
//!
//! Suffixes: b batch, c batch and the row of time 0, t tokens of the stream, n of the prompt, d width.

mod block;
mod layout;

use serde::{Deserialize, Serialize};
use twinflow_array::{ParamPath, TensorType, Tree, map};
use twinflow_compiler::{Tensor, concatenate, scan};
use twinflow_nn::{
    Condition, ConfigError, Denoiser, DenoiserInput, Init, Linear, Params, TargetTime, TimeSign, TimestepEmbedding,
    layer_norm, require,
};

pub use layout::ReferenceSlots;

use crate::denoisers::{DataSpec, Remat, TextSpec, timesteps::TwoTimesteps};
use block::{Block, PromptProjection, Stream};
use layout::{Layout, Piece};

/// `[model]` with `kind = "qwen_image_21"`. The defaults are the published network's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QwenImage21Config {
    /// Transformer blocks.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// Hidden width of the feed-forward layers over the width of a token.
    pub mlp_ratio: usize,
    /// Channels of a head that turn with frame, row and column, even numbers; a head has no others.
    pub axes_dims_rope: [usize; 3],
    /// How the target time enters.
    pub target_time: TargetTime,
    /// How the sign of the time is seen. `signed` is what the method's public implementation does.
    pub time_sign: TimeSign,
    /// What is computed again in the backward pass in place of being kept.
    pub remat: Remat,
    /// The pictures that every sample has to go by, in the order of their places in the prompt; none for text to image.
    pub references: Vec<ReferenceSlots>,
}

impl Default for QwenImage21Config {
    fn default() -> Self {
        QwenImage21Config {
            depth: 32,
            heads: 32,
            mlp_ratio: 3,
            axes_dims_rope: [16, 56, 56],
            target_time: TargetTime::Difference,
            time_sign: TimeSign::Signed,
            remat: Remat::None,
            references: Vec::new(),
        }
    }
}

impl QwenImage21Config {
    /// Builds it for samples of `data`, which have prompts.
    ///
    /// # Errors
    /// [`ConfigError`] if a value is not allowed or does not fit the samples.
    pub fn build(&self, data: DataSpec) -> Result<QwenImage21, ConfigError> {
        let text = data.text_for("qwen_image_21")?;
        require(self.depth > 0, "model.depth", self.depth, "at least 1")?;
        require(self.heads > 0, "model.heads", self.heads, "at least 1")?;
        require(self.mlp_ratio > 0, "model.mlp_ratio", self.mlp_ratio, "at least 1")?;
        let turns = self.axes_dims_rope.iter().all(|channels| *channels > 0 && channels.is_multiple_of(2));
        require(turns, "model.axes_dims_rope", self.axes_dims_rope, "even numbers above 0")?;
        let [height, width, _] = data.sample;
        let layout = Layout::new(text.tokens, &self.references, [height, width])?;
        Ok(QwenImage21 { layers: self.layers(&data, text), config: self.clone(), layout, data, text })
    }

    fn width(&self) -> usize {
        self.heads * self.axes_dims_rope.iter().sum::<usize>()
    }

    fn layers(&self, data: &DataSpec, text: TextSpec) -> QwenImage21Layers<Init> {
        let (width, channels) = (self.width(), data.sample[2]);
        let linear = |inputs, outputs| Linear::fan_in(inputs, outputs).without_bias();
        let time = TimestepEmbedding::new(width, width).without_bias();
        let block = Block::new(width, self.heads, self.mlp_ratio * width);
        QwenImage21Layers {
            times: TwoTimesteps::new(time, (self.target_time, self.time_sign), width, &ParamPath::from("times")),
            prompt_projection: PromptProjection::new(text.width, width),
            pixel_projection: linear(channels, width),
            modulation: linear(width, 4 * width),
            blocks: map(&block, |_, init| init.stacked(self.depth)),
            final_modulation: linear(width, width),
            final_projection: linear(width, channels),
        }
    }
}

/// A [`QwenImage21Config`] for samples of a size.
#[derive(Clone, Debug)]
pub struct QwenImage21 {
    layers: QwenImage21Layers<Init>,
    config: QwenImage21Config,
    layout: Layout,
    data: DataSpec,
    text: TextSpec,
}

#[derive(Clone, Debug, Tree)]
struct QwenImage21Layers<L> {
    #[tree(external = "")]
    times: TwoTimesteps<L>,
    #[tree(external = "txt_in")]
    prompt_projection: PromptProjection<L>,
    #[tree(external = "img_in")]
    pixel_projection: Linear<L>,
    /// Scale and gate of both halves of every block.
    #[tree(external = "modulation.1")]
    modulation: Linear<L>,
    /// Stacked: the first dim of each leaf runs over the depth.
    #[tree(name = "blocks/*", external = "transformer_blocks.*")]
    blocks: Block<L>,
    #[tree(external = "norm_out.linear")]
    final_modulation: Linear<L>,
    #[tree(external = "proj_out")]
    final_projection: Linear<L>,
}

impl Denoiser for QwenImage21 {
    fn parameters(&self) -> Params<Init> {
        Params::from_tree(self.layers.clone())
    }

    fn condition(&self) -> Condition<TensorType> {
        let latents = |slots: &ReferenceSlots| TensorType::f32([slots.height, slots.width, self.data.sample[2]]);
        Condition { references: self.config.references.iter().map(latents).collect(), ..self.text.condition() }
    }

    fn velocity<'t>(&self, params: &Params<Tensor<'t>>, input: &DenoiserInput<Tensor<'t>>) -> Tensor<'t> {
        let DenoiserInput { x, t, r, .. } = *input;
        let (text_bnc, mask_bn) = input.condition.text_of(x);
        let layers: QwenImage21Layers<Tensor<'t>> = params.to_tree(&self.layers);
        let trace = x.trace();
        let tokens_btd = trace.scope("stream", || self.join(&layers, text_bnc, &input.condition.references, x));
        let stream = Stream::new(&self.layout, self.config.axes_dims_rope, mask_bn);
        let time_cd = trace.scope("condition", || Self::embed_times(&layers, t, r).silu());
        let modulations = trace.scope("condition", || modulations(layers.modulation.forward(time_cd)));
        let (tokens_btd, _) = trace.scope("blocks", || {
            scan(&tokens_btd, &layers.blocks, |x_btd: Tensor<'t>, block: Block<Tensor<'t>>| {
                (self.block(x_btd, block, &stream, &modulations), None::<Tensor<'t>>)
            })
        });
        trace.scope("final", || {
            let picture_btd = tokens_btd.slice_dim(1, self.layout.prefix(), tokens_btd.dim(1));
            let scale_bd = layers.final_modulation.forward(time_cd.slice_dim(0, 0, x.dim(0))) + 1.0;
            let changed_btd = layer_norm(picture_btd) * scale_bd.expand_dims(1);
            layers.final_projection.forward(changed_btd).reshape(x.shape())
        })
    }
}

impl QwenImage21 {
    /// The stream's tokens `[b, t, d]`. What the prompt holds at the places of pictures is not read.
    fn join<'t>(
        &self,
        layers: &QwenImage21Layers<Tensor<'t>>,
        text_bnc: Tensor<'t>,
        references: &[Tensor<'t>],
        x_bhwc: Tensor<'t>,
    ) -> Tensor<'t> {
        if references.len() != self.config.references.len() {
            let (found, wanted) = (references.len(), self.config.references.len());
            x_bhwc.trace().fail("condition", format!("{found} pictures to go by in place of {wanted}"));
        }
        let mut pictures = references.iter().chain([&x_bhwc]);
        let pieces = self.layout.pieces.iter().filter_map(|piece| match piece {
            Piece::Prompt(tokens) => {
                Some(layers.prompt_projection.forward(text_bnc.slice_dim(1, tokens.start, tokens.end)))
            }
            Piece::Picture { .. } => pictures.next().map(|picture_bhwc| {
                let [b, channels] = [0, -1].map(|dim| picture_bhwc.dim(dim));
                layers.pixel_projection.forward(picture_bhwc.reshape([b, piece.tokens(), channels]))
            }),
        });
        concatenate(&pieces.collect::<Vec<_>>(), 1)
    }

    /// t, r f32 `[b]` -> `[b + 1, d]`: the last row is of t = r = 0.
    fn embed_times<'t>(layers: &QwenImage21Layers<Tensor<'t>>, t: Tensor<'t>, r: Tensor<'t>) -> Tensor<'t> {
        let zero = t.trace().full(TensorType::f32([1]), 0.0);
        let [t, r] = [t, r].map(|time| concatenate(&[time, zero], 0));
        layers.times.forward(t, r)
    }

    fn block<'t>(
        &self,
        x_btd: Tensor<'t>,
        block: Block<Tensor<'t>>,
        stream: &Stream<'t>,
        modulations: &[Tensor<'t>; 4],
    ) -> Tensor<'t> {
        self.config.remat.run((x_btd, block), |(x_btd, block): (Tensor<'t>, Block<Tensor<'t>>)| {
            block.forward(x_btd, stream, modulations)
        })
    }
}

/// Factors `1 + scale` and gates of both halves of a block, `[b + 1, d]` each.
fn modulations(rows: Tensor<'_>) -> [Tensor<'_>; 4] {
    let rows = rows.split(-1, &[rows.dim(-1) / 4; 4]);
    [rows[0] + 1.0, rows[1].tanh(), rows[2] + 1.0, rows[3].tanh()]
}
