//! Qwen-Image (Wu et al. 2025), a transformer of two streams for text to image and for editing.
//!
//! Suffixes: b batch, t tokens, d width, p patch elements; s 1, or t where tokens of a sample differ.

use serde::{Deserialize, Serialize};
use twinflow_array::{ParamPath, TensorType, Tree, map};
use twinflow_compiler::{Tensor, Trace, concatenate, scan};
use twinflow_nn::{
    Condition, ConfigError, Denoiser, DenoiserInput, Init, Linear, Params, RmsNorm, RotaryAxis, TargetTime, TimeSign,
    TimestepEmbedding, mask_bias, require, require_multiple, rotary_angles,
};

use super::{
    DataSpec, Remat, TextSpec,
    mmdit::{AdaLn, FeedForward, FinalLayer, Joining, JointAttention, JointDims},
    patches::{PatchOrder, patchify, unpatchify},
    timesteps::TwoTimesteps,
};

/// Side of the patches of latents that are tokens.
const PATCH: usize = 2;
/// Ratio of the fastest to the slowest rotation of each axis.
const THETA: f64 = 1e4;

/// `[model]` with `kind = "qwen_image"`: of 20 billion parameters, if it does not say otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QwenImageConfig {
    /// Transformer blocks.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// Channels of a head that turn with the frame, the row and the column, even numbers; together a head's width.
    pub axes_dims_rope: [usize; 3],
    /// Reference pictures are modulated with the time 0 in place of the sample's (Qwen-Image-Edit-2511).
    pub zero_cond_t: bool,
    /// How the target time enters.
    pub target_time: TargetTime,
    /// How the sign of the time is seen. `signed` is what the method's public implementation does.
    pub time_sign: TimeSign,
    /// What is computed again in the backward pass in place of being kept.
    pub remat: Remat,
}

impl Default for QwenImageConfig {
    fn default() -> Self {
        QwenImageConfig {
            depth: 60,
            heads: 24,
            axes_dims_rope: [16, 56, 56],
            zero_cond_t: false,
            target_time: TargetTime::Difference,
            time_sign: TimeSign::Signed,
            remat: Remat::None,
        }
    }
}

impl QwenImageConfig {
    /// Builds it for latents and prompts of `data`; height and width are even. Class labels are not read.
    ///
    /// # Errors
    /// [`ConfigError`] if a value is not allowed or does not fit the samples, or the data have no prompts.
    pub fn build(&self, data: DataSpec) -> Result<QwenImage, ConfigError> {
        require(self.depth > 0, "model.depth", self.depth, "at least 1")?;
        require(self.heads > 0, "model.heads", self.heads, "at least 1")?;
        let even = self.axes_dims_rope.iter().all(|channels| *channels > 0 && channels.is_multiple_of(2));
        require(even, "model.axes_dims_rope", self.axes_dims_rope, "even numbers above 0")?;
        require_multiple("data.height", data.sample[0], "the side of a patch", PATCH)?;
        require_multiple("data.width", data.sample[1], "the side of a patch", PATCH)?;
        let text = data.text_for("qwen_image")?;
        Ok(QwenImage { layers: self.layers(data.sample[2], text.width), config: self.clone(), text })
    }

    fn layers(&self, channels: usize, text_width: usize) -> QwenImageLayers<Init> {
        let width = self.heads * self.axes_dims_rope.iter().sum::<usize>();
        let patch_size = PATCH * PATCH * channels;
        let modulation = Linear::fan_in(width, 6 * width);
        let block = QwenImageBlock {
            image_modulation: modulation.clone(),
            text_modulation: modulation,
            attention: JointAttention::new(JointDims { width, heads: self.heads, qk_norm: true }),
            image_mlp: FeedForward::new(width),
            text_mlp: FeedForward::new(width),
        };
        QwenImageLayers {
            image_in: Linear::fan_in(patch_size, width),
            text_norm: RmsNorm::new(text_width),
            text_in: Linear::fan_in(text_width, width),
            times: TwoTimesteps::new(
                TimestepEmbedding::new(width, width),
                (self.target_time, self.time_sign),
                width,
                &ParamPath::from("times"),
            ),
            blocks: map(&block, |_, init| init.stacked(self.depth)),
            final_layer: FinalLayer::new(width, patch_size),
        }
    }
}

/// A [`QwenImageConfig`] for data.
#[derive(Clone, Debug)]
pub struct QwenImage {
    layers: QwenImageLayers<Init>,
    config: QwenImageConfig,
    text: TextSpec,
}

/// External names are those of diffusers' `QwenImageTransformer2DModel`; `time_text_embed_2` is the target time's.
#[derive(Clone, Debug, Tree)]
struct QwenImageLayers<L> {
    #[tree(external = "img_in")]
    image_in: Linear<L>,
    #[tree(external = "txt_norm")]
    text_norm: RmsNorm<L>,
    #[tree(external = "txt_in")]
    text_in: Linear<L>,
    #[tree(external = "")]
    times: TwoTimesteps<L>,
    /// Stacked: the first dim of each leaf runs over the depth.
    #[tree(name = "blocks/*", external = "transformer_blocks.*")]
    blocks: QwenImageBlock<L>,
    #[tree(external = "")]
    final_layer: FinalLayer<L>,
}

/// One transformer block.
#[derive(Clone, Debug, Tree)]
struct QwenImageBlock<L> {
    #[tree(external = "img_mod.1")]
    image_modulation: Linear<L>,
    #[tree(external = "txt_mod.1")]
    text_modulation: Linear<L>,
    #[tree(external = "attn")]
    attention: JointAttention<L>,
    #[tree(external = "img_mlp")]
    image_mlp: FeedForward<L>,
    #[tree(external = "txt_mlp")]
    text_mlp: FeedForward<L>,
}

/// What every block reads besides the streams.
#[derive(Clone, Debug)]
struct BlockContext<'t> {
    /// Of the sample's times, `[b, 1, d]`, after SiLU.
    condition_b1d: Tensor<'t>,
    /// The same of the time 0, where reference pictures are modulated with it.
    zero_b1d: Option<Tensor<'t>>,
    /// Tokens of the sample and of all reference pictures.
    tokens: [usize; 2],
    joining: Joining<'t>,
}

impl Denoiser for QwenImage {
    fn parameters(&self) -> Params<Init> {
        Params::from_tree(self.layers.clone())
    }

    fn condition(&self) -> Condition<TensorType> {
        self.text.condition()
    }

    fn velocity<'t>(&self, params: &Params<Tensor<'t>>, input: &DenoiserInput<Tensor<'t>>) -> Tensor<'t> {
        let grid = grid(input.x);
        let (layers, image_btd, context) = self.run_blocks(params, input);
        let own_btd = image_btd.slice_dim(1, 0, context.tokens[0]);
        let velocity_btp =
            input.x.trace().scope("final", || layers.final_layer.forward(own_btd, context.condition_b1d));
        unpatchify(velocity_btp, grid, PATCH, PatchOrder::ChannelFirst)
    }
}

impl QwenImage {
    /// What the network says of every picture's tokens, the sample's first, then the references': `[b, t, p]`, each
    /// token a patch of 2 x 2 latents in the order channel, row, column.
    ///
    /// # Panics
    /// By a trace error, if the condition lacks prompts.
    pub fn token_velocities<'t>(&self, params: &Params<Tensor<'t>>, input: &DenoiserInput<Tensor<'t>>) -> Tensor<'t> {
        let (layers, image_btd, context) = self.run_blocks(params, input);
        input.x.trace().scope("final", || layers.final_layer.forward(image_btd, context.condition_b1d))
    }

    /// The pictures' tokens after the last block, `[b, t, d]`.
    fn run_blocks<'t>(
        &self,
        params: &Params<Tensor<'t>>,
        input: &DenoiserInput<Tensor<'t>>,
    ) -> (QwenImageLayers<Tensor<'t>>, Tensor<'t>, BlockContext<'t>) {
        let (x, (text, mask)) = (input.x, input.condition.text_of(input.x));
        let layers: QwenImageLayers<Tensor<'t>> = params.to_tree(&self.layers);
        let trace = x.trace();
        let pictures: Vec<Tensor<'t>> = [&[x], &input.condition.references[..]].concat();
        let image_btd = trace.scope("image_in", || {
            let tokens = pictures.iter().map(|picture| patchify(*picture, PATCH, PatchOrder::ChannelFirst));
            layers.image_in.forward(concatenate(&tokens.collect::<Vec<_>>(), 1))
        });
        let text_btd = trace.scope("text_in", || layers.text_in.forward(layers.text_norm.forward(text)));
        let grids: Vec<_> = pictures.iter().map(|picture| grid(*picture)).collect();
        let context = trace.scope("condition", || self.block_context(&layers, input, &grids, mask));
        let (streams, _) = trace.scope("blocks", || {
            scan(&(image_btd, text_btd), &layers.blocks, |streams: (Tensor<'t>, Tensor<'t>), block| {
                let run = |(streams, block): (_, QwenImageBlock<Tensor<'t>>)| block.forward(streams, &context);
                (self.config.remat.run((streams, block), run), None::<Tensor<'t>>)
            })
        });
        (layers, streams.0, context)
    }

    fn block_context<'t>(
        &self,
        layers: &QwenImageLayers<Tensor<'t>>,
        input: &DenoiserInput<Tensor<'t>>,
        grids: &[[usize; 2]],
        mask_bn: Tensor<'t>,
    ) -> BlockContext<'t> {
        let DenoiserInput { x, t, r, .. } = *input;
        let condition = |t, r| layers.times.forward(t, r).silu().expand_dims(1);
        let all: usize = grids.iter().map(|[rows, columns]| rows * columns).sum();
        let own = grids[0][0] * grids[0][1];
        let zero = (self.config.zero_cond_t && all > own).then(|| condition(t.zeros_like(), r.zeros_like()));
        // Pictures are seen whole.
        let seen = mask_bn.pad(1.0, &[(0, 0, 0), (0, all as i64, 0)]).ne(0.0);
        let bias = mask_bias(seen).expand_dims(1).expand_dims(1);
        let angles = self.angles(x.trace(), mask_bn.dim(1), grids);
        let joining = Joining { angles, bias };
        BlockContext { condition_b1d: condition(t, r), zero_b1d: zero, tokens: [own, all - own], joining }
    }

    fn angles<'t>(&self, trace: &'t Trace, text_tokens: usize, grids: &[[usize; 2]]) -> Tensor<'t> {
        let axes = self.config.axes_dims_rope.map(|channels| RotaryAxis { channels, theta: THETA });
        rotary_angles(trace, &positions(text_tokens, grids), axes)
    }
}

impl<'t> QwenImageBlock<Tensor<'t>> {
    fn forward(
        &self,
        (image_btd, text_btd): (Tensor<'t>, Tensor<'t>),
        context: &BlockContext<'t>,
    ) -> (Tensor<'t>, Tensor<'t>) {
        let trace = image_btd.trace();
        let ([image_1, image_2], [text_1, text_2]) = trace.scope("modulation", || {
            let text = self.text_modulation.forward(context.condition_b1d);
            (AdaLn::branches(self.modulate_image(context)), AdaLn::branches(text))
        });
        let (image_mixed, text_mixed) = trace.scope("attention", || {
            self.attention.forward(image_1.enter(image_btd), text_1.enter(text_btd), Some(context.joining))
        });
        let image_btd = image_1.leave(image_btd, image_mixed);
        let text_btd = text_mixed.map_or(text_btd, |mixed| text_1.leave(text_btd, mixed));
        trace.scope("mlp", || {
            let image_btd = image_2.leave(image_btd, self.image_mlp.forward(image_2.enter(image_btd)));
            (image_btd, text_2.leave(text_btd, self.text_mlp.forward(text_2.enter(text_btd))))
        })
    }

    /// `[b, s, 6 d]`: one for all tokens, or another one for those of reference pictures.
    fn modulate_image(&self, context: &BlockContext<'t>) -> Tensor<'t> {
        let own = self.image_modulation.forward(context.condition_b1d);
        let Some(zero_b1d) = context.zero_b1d else { return own };
        let repeat = |x: Tensor<'t>, tokens: usize| x.broadcast_to([x.dim(0), tokens, x.dim(-1)]);
        let references = self.image_modulation.forward(zero_b1d);
        concatenate(&[repeat(own, context.tokens[0]), repeat(references, context.tokens[1])], 1)
    }
}

/// Rows and columns of patches in a picture `[b, height, width, channels]`.
fn grid(picture: Tensor<'_>) -> [usize; 2] {
    [picture.dim(1) / PATCH, picture.dim(2) / PATCH]
}

/// Positions (frame, row, column) of the prompt's tokens, then of each picture's, row by row.
///
/// A picture's frame is its number; its rows and columns are counted from its middle. The prompt goes on along all
/// three axes where the largest picture ends.
fn positions(text_tokens: usize, grids: &[[usize; 2]]) -> Vec<[i32; 3]> {
    let start = grids.iter().flatten().map(|side| side / 2).max().unwrap_or(0);
    let text = (start..start + text_tokens).map(|at| [at as i32; 3]);
    let centred = |at: usize, side: usize| at as i32 - side.div_ceil(2) as i32;
    let picture = |(frame, [rows, columns]): (usize, [usize; 2])| {
        let place = move |i| [frame as i32, centred(i / columns, rows), centred(i % columns, columns)];
        (0..rows * columns).map(place)
    };
    text.chain(grids.iter().copied().enumerate().flat_map(picture)).collect()
}
