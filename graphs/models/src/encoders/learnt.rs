//! A small bidirectional transformer (Devlin et al. 2019, with norms before the branches), trained with the denoiser: for
//! work without any pretrained part.
//!
//! Suffixes: b batch, n tokens, d width.

use serde::{Deserialize, Serialize};
use twinflow_array::{DType, Tree, map};
use twinflow_compiler::{Tensor, scan};
use twinflow_nn::{
    Attention, AttentionDims, ConfigError, EncodedText, Init, Linear, Mlp, Params, RmsNorm, TextEncoder,
    TokenEmbedding, mask_bias, require, require_multiple,
};

use super::TokenSpec;

/// `[text_encoder]` with `kind = "learnt"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LearntConfig {
    /// Width of a token, which the denoiser reads.
    pub width: usize,
    /// Transformer blocks; 0: the tokens' embeddings with their positions alone.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
}

impl Default for LearntConfig {
    fn default() -> Self {
        LearntConfig { width: 256, depth: 2, heads: 4 }
    }
}

impl LearntConfig {
    /// Builds it for prompts of `spec`, with embeddings of whole prompts of `pooled` numbers.
    ///
    /// # Errors
    /// [`ConfigError`] if a value is not allowed.
    pub fn build(&self, spec: TokenSpec, pooled: usize) -> Result<Learnt, ConfigError> {
        let positive = |key, value: usize| require(value > 0, key, value, "at least 1");
        positive("text_encoder.width", self.width)?;
        positive("text_encoder.heads", self.heads)?;
        require_multiple("text_encoder.width", self.width, "text_encoder.heads", self.heads)?;
        let block = EncoderBlock::new(self);
        let layers = LearntLayers {
            tokens: TokenEmbedding::normal(spec.vocabulary, self.width, 0.02),
            positions: Init::normal([spec.tokens, self.width], 0.02),
            blocks: (self.depth > 0).then(|| map(&block, |_, init| init.stacked(self.depth))),
            norm: RmsNorm::new(self.width),
            pooled: Linear::xavier(self.width, pooled),
        };
        Ok(Learnt { layers })
    }
}

/// A [`LearntConfig`] for prompts.
#[derive(Clone, Debug)]
pub struct Learnt {
    layers: LearntLayers<Init>,
}

/// Equal blocks are stacked: the first dim of each leaf runs over them.
#[derive(Clone, Debug, Tree)]
struct LearntLayers<L> {
    tokens: TokenEmbedding<L>,
    /// `[n, d]`.
    positions: L,
    #[tree(name = "blocks/*")]
    blocks: Option<EncoderBlock<L>>,
    norm: RmsNorm<L>,
    pooled: Linear<L>,
}

#[derive(Clone, Debug, Tree)]
struct EncoderBlock<L> {
    attention_norm: RmsNorm<L>,
    attention: Attention<L>,
    mlp_norm: RmsNorm<L>,
    mlp: Mlp<L>,
}

impl EncoderBlock<Init> {
    fn new(config: &LearntConfig) -> Self {
        let LearntConfig { width, heads, .. } = *config;
        EncoderBlock {
            attention_norm: RmsNorm::new(width),
            attention: Attention::new(AttentionDims { width, heads, qk_norm: true }),
            mlp_norm: RmsNorm::new(width),
            mlp: Mlp::new(width, 4 * width),
        }
    }
}

impl<'t> EncoderBlock<Tensor<'t>> {
    fn forward(&self, x_bnd: Tensor<'t>, bias: Tensor<'t>) -> Tensor<'t> {
        let x_bnd = x_bnd + self.attention.forward_with(self.attention_norm.forward(x_bnd), Some(bias));
        x_bnd + self.mlp.forward(self.mlp_norm.forward(x_bnd))
    }
}

impl TextEncoder for Learnt {
    fn parameters(&self) -> Params<Init> {
        Params::from_tree(self.layers.clone())
    }

    fn encode<'t>(&self, params: &Params<Tensor<'t>>, tokens: Tensor<'t>, mask: Tensor<'t>) -> EncodedText<Tensor<'t>> {
        let layers: LearntLayers<Tensor<'t>> = params.to_tree(&self.layers);
        let counts_bn1 = mask.convert(DType::F32).expand_dims(2);
        let bias = mask_bias(mask.gt(0.0).expand_dims(1).expand_dims(1));
        let embedded_bnd = layers.tokens.forward(tokens) + layers.positions;
        let x_bnd = layers.blocks.as_ref().map_or(embedded_bnd, |blocks| {
            let run = |x: Tensor<'t>, block: EncoderBlock<Tensor<'t>>| (block.forward(x, bias), None::<Tensor<'t>>);
            scan(&embedded_bnd, blocks, run).0
        });
        // Zero where there is no token: denoisers that read no mask see the same there whatever the prompt.
        let text = layers.norm.forward(x_bnd) * counts_bn1;
        let count_b1 = counts_bn1.sum(&[1]).maximum(1.0);
        EncodedText { text, pooled: layers.pooled.forward(text.sum(&[1]) / count_b1) }
    }
}
