//! A denoiser with a text encoder of its own, trained together.

use twinflow_array::{DType, TensorType, Tree};
use twinflow_compiler::Tensor;
use twinflow_nn::{Condition, ConfigError, Denoiser, DenoiserInput, EncodedText, Init, Params, TextEncoder};

use super::{DataSpec, ModelConfig, TextSpec};
use crate::encoders::{TextEncoderConfig, TokenSpec};

/// A denoiser that reads embeddings, behind an encoder that makes them of the batch's tokens.
pub struct Prompted {
    encoder: Box<dyn TextEncoder>,
    denoiser: Box<dyn Denoiser>,
    parameters: PromptedParams<Init>,
    spec: TokenSpec,
}

/// The denoiser's parameters keep the names that they have without an encoder.
#[derive(Clone, Debug, Tree)]
struct PromptedParams<L> {
    #[tree(name = "", external = "")]
    denoiser: Params<L>,
    text_encoder: Params<L>,
}

/// Builds a network for data whose prompts are tokens: behind `encoder`, where it reads prompts.
///
/// # Errors
/// [`ConfigError`] if a value of either is not allowed or does not fit the data.
pub(super) fn build(
    model: &ModelConfig,
    encoder: &TextEncoderConfig,
    spec: TokenSpec,
    data: DataSpec,
) -> Result<Box<dyn Denoiser>, ConfigError> {
    let text = TextSpec { tokens: spec.tokens, width: encoder.width() };
    let denoiser = model.build(DataSpec { text: Some(text), ..data })?;
    let condition = denoiser.condition();
    if condition.text.is_none() {
        return Ok(denoiser);
    }
    let pooled = condition.pooled_text.map_or(text.width, |ty| ty.shape[0]);
    let encoder = encoder.build(spec, pooled)?;
    let parameters = PromptedParams { denoiser: denoiser.parameters(), text_encoder: encoder.parameters() };
    Ok(Box::new(Prompted { encoder, denoiser, parameters, spec }))
}

impl Denoiser for Prompted {
    fn parameters(&self) -> Params<Init> {
        Params::from_tree(self.parameters.clone())
    }

    fn condition(&self) -> Condition<TensorType> {
        let ids = || Some(TensorType::new(DType::I32, [self.spec.tokens]));
        let inner = self.denoiser.condition();
        Condition { tokens: ids(), text: None, text_mask: ids(), pooled_text: None, ..inner }
    }

    fn velocity<'t>(&self, params: &Params<Tensor<'t>>, input: &DenoiserInput<Tensor<'t>>) -> Tensor<'t> {
        let params: PromptedParams<Tensor<'t>> = params.to_tree(&self.parameters);
        let (tokens, mask) = input.condition.tokens_of(input.x);
        let encode = || self.encoder.encode(&params.text_encoder, tokens, mask);
        let EncodedText { text, pooled } = input.x.trace().scope("text_encoder", encode);
        let condition =
            Condition { tokens: None, text: Some(text), pooled_text: Some(pooled), ..input.condition.clone() };
        self.denoiser.velocity(&params.denoiser, &DenoiserInput { condition, ..input.clone() })
    }
}
