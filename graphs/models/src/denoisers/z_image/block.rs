//! A block, with or without modulation.

use twinflow_array::Tree;
use twinflow_compiler::Tensor;
use twinflow_nn::{Init, Linear, RmsNorm, RotaryAttention};

/// Added to mean squares.
pub(super) const EPS: f64 = 1e-5;

/// A transformer block whose branches are normalised before and after. Names are the published ones.
#[derive(Clone, Debug, Tree)]
pub(super) struct Block<L> {
    attention: RotaryAttention<L>,
    attention_norm1: RmsNorm<L>,
    attention_norm2: RmsNorm<L>,
    feed_forward: GatedMlp<L>,
    ffn_norm1: RmsNorm<L>,
    ffn_norm2: RmsNorm<L>,
    /// Time -> scale and gate of both halves.
    #[tree(external = "adaLN_modulation.0")]
    modulation: Option<Linear<L>>,
}

/// `down(SiLU(gate x) * up x)` (Shazeer 2020).
#[derive(Clone, Debug, Tree)]
struct GatedMlp<L> {
    #[tree(external = "w1")]
    gate: Linear<L>,
    #[tree(external = "w3")]
    up: Linear<L>,
    #[tree(external = "w2")]
    down: Linear<L>,
}

/// What the tokens of a stream are to each other: the same in every block.
#[derive(Clone, Copy)]
pub(super) struct Stream<'t> {
    /// Broadcast to `[b, h, t, k / 2]`.
    pub(super) angles: Tensor<'t>,
    /// Of the scores, `[b, 1, 1, t]`, if some keys are not to be seen.
    pub(super) bias: Option<Tensor<'t>>,
}

impl Block<Init> {
    /// With a modulation by embedded times of the width `time`, if any.
    pub(super) fn new(width: usize, heads: usize, time: Option<usize>) -> Self {
        // As the published class rounds it.
        let hidden = (width as f64 / 3.0 * 8.0) as usize;
        let linear = |inputs, outputs| Linear::fan_in(inputs, outputs).without_bias();
        let norm = || RmsNorm::with_eps(width, EPS);
        Block {
            attention: RotaryAttention::new(width, heads, EPS),
            attention_norm1: norm(),
            attention_norm2: norm(),
            feed_forward: GatedMlp {
                gate: linear(width, hidden),
                up: linear(width, hidden),
                down: linear(hidden, width),
            },
            ffn_norm1: norm(),
            ffn_norm2: norm(),
            modulation: time.map(|time| Linear::fan_in(time, 4 * width)),
        }
    }
}

impl<'t> Block<Tensor<'t>> {
    /// x `[b, t, d]`, times `[b, width]` -> `[b, t, d]`.
    pub(super) fn forward(&self, x_btd: Tensor<'t>, stream: Stream<'t>, time_bd: Tensor<'t>) -> Tensor<'t> {
        let (trace, width) = (x_btd.trace(), x_btd.dim(-1));
        let modulation = self.modulation.as_ref().map(|linear| {
            let rows = linear.forward(time_bd).expand_dims(1).split(-1, &[width; 4]);
            [rows[0] + 1.0, rows[1].tanh(), rows[2] + 1.0, rows[3].tanh()]
        });
        let times = |x: Tensor<'t>, factor: usize| modulation.map_or(x, |factors| x * factors[factor]);
        let attended = trace.scope("attention", || {
            self.attention.forward(times(self.attention_norm1.forward(x_btd), 0), stream.angles, stream.bias)
        });
        let x_btd = x_btd + times(self.attention_norm2.forward(attended), 1);
        let changed = trace.scope("mlp", || self.feed_forward.forward(times(self.ffn_norm1.forward(x_btd), 2)));
        x_btd + times(self.ffn_norm2.forward(changed), 3)
    }
}

impl<'t> GatedMlp<Tensor<'t>> {
    fn forward(&self, x_btd: Tensor<'t>) -> Tensor<'t> {
        self.down.forward(self.gate.forward(x_btd).silu() * self.up.forward(x_btd))
    }
}
