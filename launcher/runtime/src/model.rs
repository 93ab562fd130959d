//! A network to sample from.

use twinflow_array::{DType, HostArray, TensorType};
use twinflow_models::{
    denoisers::{DataSpec, ModelConfig},
    encoders::TextEncoderConfig,
};
use twinflow_nn::{Condition, ConfigError, Denoiser, Params};
use twinflow_tokenizer::{EncodedPrompt, Tokenizer, TokenizerError};
use twinflow_training::Precision;

/// A denoiser with the data that it was built for and the precision of its products.
pub struct Model {
    denoiser: Box<dyn Denoiser>,
    data: DataSpec,
    precision: Precision,
    image_tokens: usize,
    tokenizer: Option<Tokenizer>,
}

impl Model {
    /// The model of these settings.
    ///
    /// # Errors
    /// [`ConfigError`] if a value is not allowed or does not fit the samples.
    pub fn new(
        config: &ModelConfig,
        encoder: &TextEncoderConfig,
        data: DataSpec,
        precision: Precision,
    ) -> Result<Self, ConfigError> {
        let (denoiser, image_tokens) = (config.build_behind(encoder, data)?, config.image_tokens(data.sample));
        Ok(Model { denoiser, data, precision, image_tokens, tokenizer: None })
    }

    /// With what makes tokens of prompts, for a network that reads those.
    #[must_use]
    pub fn with_tokenizer(self, tokenizer: Option<Tokenizer>) -> Self {
        Model { tokenizer, ..self }
    }

    /// What makes tokens of prompts.
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer.as_ref()
    }

    /// Tokens of a prompt; 0 if the network reads none.
    pub fn prompt_tokens(&self) -> usize {
        self.denoiser.condition().tokens.map_or(0, |ty| ty.shape[0])
    }

    /// A prompt as the network reads it; none if it reads no tokens.
    ///
    /// # Errors
    /// [`TokenizerError`].
    pub fn encode(&self, prompt: &str) -> Result<Option<EncodedPrompt>, TokenizerError> {
        let tokens = self.prompt_tokens();
        let tokenizer = self.tokenizer.as_ref().filter(|_| tokens > 0);
        tokenizer.map(|tokenizer| tokenizer.encode(prompt, tokens)).transpose()
    }

    /// "No condition", once: the empty prompt, the label that follows the classes, zeros elsewhere. The first dim of its
    /// leaves is 1.
    ///
    /// # Errors
    /// [`TokenizerError`].
    pub fn null_condition(&self) -> Result<Condition<HostArray>, TokenizerError> {
        let mut null = self.denoiser.condition().with_leading(&[1]).null(self.data.classes);
        if let Some(empty) = self.encode("")? {
            set_prompt(&mut null, &empty);
        }
        Ok(null)
    }

    /// Tokens that the network makes of a sample.
    pub fn image_tokens(&self) -> usize {
        self.image_tokens
    }

    pub fn denoiser(&self) -> &dyn Denoiser {
        self.denoiser.as_ref()
    }

    /// What its samples are.
    pub fn data(&self) -> DataSpec {
        self.data
    }

    /// Samples per program run: many small ones, few large ones. It depends on nothing that changes between calls, for
    /// the last bits of a sample may depend on the batch it is computed in.
    pub fn chunk_size(&self) -> usize {
        (65_536 / self.data.sample.iter().product::<usize>().max(1)).clamp(16, 1024)
    }

    /// Types of its parameters.
    pub fn parameter_spec(&self) -> Params<TensorType> {
        self.denoiser.parameters().spec()
    }

    /// The element type that its products are computed in, if not f32.
    pub fn compute(&self) -> Option<DType> {
        self.precision.compute()
    }
}

/// Makes a condition of one row that of a prompt.
pub(crate) fn set_prompt(condition: &mut Condition<HostArray>, prompt: &EncodedPrompt) {
    for (row, values) in [(&mut condition.tokens, &prompt.ids), (&mut condition.text_mask, &prompt.mask)] {
        if let Some(row) = row {
            row.as_mut_slice::<i32>().expect("tokens are i32").copy_from_slice(values);
        }
    }
}
