//! A block of the stream, and what all blocks share.

use twinflow_array::{HostArray, Tree};
use twinflow_compiler::{Tensor, Trace, concatenate};
use twinflow_nn::{CentredRmsNorm, Init, Linear, RotaryAttention, RotaryAxis, layer_norm, mask_bias, rotary_angles};

use super::layout::{Layout, Piece};

/// Added to variances and mean squares.
const EPS: f64 = 1e-6;
/// Ratio of the fastest to the slowest rotation.
const THETA: f64 = 1e4;

/// The prompt's tokens in the stream's width.
#[derive(Clone, Debug, Tree)]
pub(super) struct PromptProjection<L> {
    #[tree(external = "text_norm")]
    norm: CentredRmsNorm<L>,
    #[tree(external = "in_layer")]
    up: Linear<L>,
    #[tree(external = "out_layer")]
    down: Linear<L>,
}

impl PromptProjection<Init> {
    pub(super) fn new(inputs: usize, width: usize) -> Self {
        PromptProjection {
            norm: CentredRmsNorm::with_eps(inputs, EPS),
            up: Linear::fan_in(inputs, width).without_bias(),
            down: Linear::fan_in(width, width).without_bias(),
        }
    }
}

impl<'t> PromptProjection<Tensor<'t>> {
    /// `[b, n, inputs]` -> `[b, n, d]`.
    pub(super) fn forward(&self, text_bnc: Tensor<'t>) -> Tensor<'t> {
        self.down.forward(self.up.forward(self.norm.forward(text_bnc)).gelu_tanh())
    }
}

/// One block, without a modulation of its own.
#[derive(Clone, Debug, Tree)]
pub(super) struct Block<L> {
    #[tree(external = "attn")]
    attention: RotaryAttention<L>,
    #[tree(external = "img_mlp")]
    mlp: GatedMlp<L>,
}

/// `down(SiLU(gate x) * up x)` (Shazeer 2020).
#[derive(Clone, Debug, Tree)]
struct GatedMlp<L> {
    #[tree(external = "gate_layer")]
    gate: Linear<L>,
    #[tree(external = "proj")]
    up: Linear<L>,
    #[tree(external = "out")]
    down: Linear<L>,
}

impl Block<Init> {
    pub(super) fn new(width: usize, heads: usize, hidden: usize) -> Self {
        let linear = |inputs, outputs| Linear::fan_in(inputs, outputs).without_bias();
        Block {
            attention: RotaryAttention::new(width, heads, EPS),
            mlp: GatedMlp { gate: linear(width, hidden), up: linear(width, hidden), down: linear(hidden, width) },
        }
    }
}

impl<'t> Block<Tensor<'t>> {
    /// x `[b, t, d]` -> `[b, t, d]`; the modulations are those of all blocks.
    pub(super) fn forward(&self, x_btd: Tensor<'t>, stream: &Stream<'t>, modulations: &[Tensor<'t>; 4]) -> Tensor<'t> {
        let trace = x_btd.trace();
        let [scale_1, gate_1, scale_2, gate_2] = modulations.map(|rows| stream.per_token(rows));
        let attended = trace.scope("attention", || {
            self.attention.forward(layer_norm(x_btd) * scale_1, stream.angles_tk, Some(stream.bias_b1tt))
        });
        let x_btd = x_btd + gate_1 * attended;
        let changed = trace.scope("mlp", || self.mlp.forward(layer_norm(x_btd) * scale_2));
        x_btd + gate_2 * changed
    }
}

impl<'t> GatedMlp<Tensor<'t>> {
    fn forward(&self, x_btd: Tensor<'t>) -> Tensor<'t> {
        self.down.forward(self.gate.forward(x_btd).silu() * self.up.forward(x_btd))
    }
}

/// What the stream's tokens are to each other: the same in every block.
pub(super) struct Stream<'t> {
    angles_tk: Tensor<'t>,
    bias_b1tt: Tensor<'t>,
    /// Tokens of the picture itself, bool `[t, 1]`.
    is_picture_t1: Tensor<'t>,
}

impl<'t> Stream<'t> {
    /// Of prompts with this mask, i32 `[b, n]`.
    pub(super) fn new(layout: &Layout, rotary: [usize; 3], mask_bn: Tensor<'t>) -> Self {
        let trace = mask_bn.trace();
        let seen = layout.seen();
        let tokens = seen.len();
        let places = indices(trace, &(0..tokens as i32).collect::<Vec<_>>());
        let valid_bt = concatenate(&layout.pieces.iter().map(|piece| valid(piece, mask_bn)).collect::<Vec<_>>(), 1);
        let valid_b11t = valid_bt.ne(0.0).reshape([mask_bn.dim(0), 1, 1, tokens]);
        // Causal between pieces and in text; the tokens of a picture see each other.
        let seen_tt = places.expand_dims(0).lt(indices(trace, &seen).expand_dims(1));
        Stream {
            angles_tk: rotary_angles(
                trace,
                &layout.positions(),
                rotary.map(|channels| RotaryAxis { channels, theta: THETA }),
            ),
            bias_b1tt: mask_bias(valid_b11t.and(seen_tt)),
            is_picture_t1: places.ge(layout.prefix() as f64).expand_dims(1),
        }
    }

    /// Rows `[b + 1, d]`, one for each sample's picture and the last for what stands before it -> `[b, t, d]`.
    fn per_token(&self, rows_cd: Tensor<'t>) -> Tensor<'t> {
        let samples = rows_cd.dim(0) - 1;
        let rows = rows_cd.expand_dims(1).split(0, &[samples, 1]);
        self.is_picture_t1.select(rows[0], rows[1])
    }
}

/// Which tokens of a piece may be seen, i32 `[b, tokens]`: of the prompt those that are not padding.
fn valid<'t>(piece: &Piece, mask_bn: Tensor<'t>) -> Tensor<'t> {
    match piece {
        Piece::Prompt(tokens) => mask_bn.slice_dim(1, tokens.start, tokens.end),
        Piece::Picture { .. } => {
            mask_bn.slice_dim(1, 0, 1).full_like(1.0).broadcast_to([mask_bn.dim(0), piece.tokens()])
        }
    }
}

fn indices<'t>(trace: &'t Trace, values: &[i32]) -> Tensor<'t> {
    trace.constant(HostArray::from_slice([values.len()], values).expect("one dim of that length"))
}
