//! Networks that turn prompts into embeddings.

mod learnt;

use serde::{Deserialize, Serialize};
use twinflow_nn::{ConfigError, TextEncoder};

pub use learnt::{Learnt, LearntConfig};

/// The tokens of the prompts that an encoder is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenSpec {
    /// Tokens of a prompt, padding included.
    pub tokens: usize,
    /// Numbers that a token may have.
    pub vocabulary: usize,
}

/// `[text_encoder]`: what reads the prompts of a dataset that holds them as tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TextEncoderConfig {
    /// A small transformer, trained with the denoiser.
    Learnt(LearntConfig),
}

impl Default for TextEncoderConfig {
    fn default() -> Self {
        TextEncoderConfig::Learnt(LearntConfig::default())
    }
}

impl TextEncoderConfig {
    /// Numbers of the embedding of a token.
    pub fn width(&self) -> usize {
        match self {
            TextEncoderConfig::Learnt(config) => config.width,
        }
    }

    /// Builds the encoder for prompts of `spec`, with embeddings of whole prompts of `pooled` numbers.
    ///
    /// # Errors
    /// [`ConfigError`] if a value is not allowed or does not fit the prompts.
    pub fn build(&self, spec: TokenSpec, pooled: usize) -> Result<Box<dyn TextEncoder>, ConfigError> {
        Ok(match self {
            TextEncoderConfig::Learnt(config) => Box::new(config.build(spec, pooled)?),
        })
    }
}
