//! The times of Z-Image, which counts from noise (0) to data (1).

use serde::{Deserialize, Serialize};
use twinflow_array::{DType, ParamPath, Tree, map};
use twinflow_compiler::Tensor;
use twinflow_nn::{Init, Linear, SignEmbedding, TIME_FEATURES, TimeSign, timestep_features};

/// How the times t and r enter, E1 and E2 being embeddings of times in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZImageTime {
    /// `E1(1 - t)`: the published network, which knows of no target time.
    Ignored,
    /// `E1(1 - t) + E2(1 - r)`: both are learnt from the first step on.
    Embedding,
    /// `E1(1 - t) + E2(1 - r) (t - r)`, E2 starting as a copy of E1: a pretrained model is unchanged at r = t.
    #[default]
    Difference,
    /// `E1(|t'|) + E2(r' - t') |t' - r'|` with `t' = sign(t) (1 - |t|)`, the same for r, and sign(0) = 0: what the weights
    /// released as TwinFlow-Z-Image-Turbo are trained for. At r = t the sign of t cannot be seen.
    Released,
}

/// E1, and E2 where r enters.
#[derive(Clone, Debug, Tree)]
pub(super) struct Times<L> {
    #[tree(external = "t_embedder")]
    time: Embedder<L>,
    #[tree(external = "t_embedder_2")]
    target_time: Option<Embedder<L>>,
    /// Of t, if the embedders do not see it.
    #[tree(external = "time_sign_embed")]
    sign: Option<SignEmbedding<L>>,
    form: ZImageTime,
    time_sign: TimeSign,
}

/// Cosines and sines of a time, two linear layers with SiLU between.
#[derive(Clone, Debug, Tree)]
struct Embedder<L> {
    #[tree(external = "mlp.0")]
    up: Linear<L>,
    #[tree(external = "mlp.2")]
    down: Linear<L>,
}

impl Times<Init> {
    /// Embeddings of this width; `path` is where the result sits in the model's tree.
    pub(super) fn new(
        hidden: usize,
        width: usize,
        (form, time_sign): (ZImageTime, TimeSign),
        path: &ParamPath,
    ) -> Self {
        let time = Embedder { up: Linear::fan_in(TIME_FEATURES, hidden), down: Linear::fan_in(hidden, width) };
        let copy = map(&time, |leaf, init| init.clone().copy_of(path.join("time").join(leaf.path())));
        let target_time = match form {
            ZImageTime::Ignored => None,
            ZImageTime::Embedding => Some(time.clone()),
            ZImageTime::Difference | ZImageTime::Released => Some(copy),
        };
        Times { time, target_time, sign: time_sign.embedding(width), form, time_sign }
    }
}

impl<'t> Times<Tensor<'t>> {
    /// t, r f32 `[b]` in [-1, 1] -> `[b, width]`. Differences are taken in f64: an angle is up to 1000 times as large, and
    /// so is what rounding does to it.
    pub(super) fn forward(&self, t: Tensor<'t>, r: Tensor<'t>) -> Tensor<'t> {
        let [exact_t, exact_r] = [t, r].map(|time| time.convert(DType::F64));
        let seen = [exact_t, exact_r].map(|time| self.time_sign.seen(time));
        let joined = self.joined(seen, exact_t - exact_r);
        self.sign.as_ref().map_or(joined, |sign| joined + sign.forward(t))
    }

    /// t and r as the embedders see them, and how far they are apart: f64 `[b]`.
    fn joined(&self, [t, r]: [Tensor<'t>; 2], apart: Tensor<'t>) -> Tensor<'t> {
        let Some(target_time) = &self.target_time else { return self.time.forward(1.0 - t) };
        match self.form {
            ZImageTime::Ignored | ZImageTime::Embedding => self.time.forward(1.0 - t) + target_time.forward(1.0 - r),
            ZImageTime::Difference => self.time.forward(1.0 - t) + target_time.forward(1.0 - r) * factor(apart),
            ZImageTime::Released => {
                let [t, r] = [t, r].map(|time| time.sign() * (1.0 - time.abs()));
                self.time.forward(t.abs()) + target_time.forward(r - t) * factor((t - r).abs())
            }
        }
    }
}

impl<'t> Embedder<Tensor<'t>> {
    /// A time f64 `[b]` -> f32 `[b, width]`.
    fn forward(&self, time: Tensor<'t>) -> Tensor<'t> {
        let features = timestep_features((time * 1000.0).convert(DType::F32));
        self.down.forward(self.up.forward(features).silu())
    }
}

/// f64 `[b]` -> f32 `[b, 1]`.
fn factor(weight: Tensor<'_>) -> Tensor<'_> {
    weight.convert(DType::F32).expand_dims(-1)
}
