//! Networks that predict velocities.

mod dit;
mod mlp;
mod mmdit;
mod patches;
mod prompted;
mod qwen_image;
mod qwen_image_21;
mod remat;
mod sana;
mod sd3;
mod timesteps;
mod unet;
mod z_image;

use serde::{Deserialize, Serialize};
use twinflow_array::{DType, TensorType};
use twinflow_nn::{Condition, ConfigError, Denoiser};

use crate::encoders::{TextEncoderConfig, TokenSpec};

pub use dit::{Dit, DitConfig};
pub use mlp::{MlpConfig, MlpNetwork};
pub use prompted::Prompted;
pub use qwen_image::{QwenImage, QwenImageConfig};
pub use qwen_image_21::{QwenImage21, QwenImage21Config, ReferenceSlots};
pub use remat::Remat;
pub use sana::{Sana, SanaConfig};
pub use sd3::{Sd3, Sd3Config};
pub use unet::{Unet, UnetConfig};
pub use z_image::{ZImage, ZImageConfig, ZImageTime};

/// The data that a network is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataSpec {
    /// Height, width and channels of a sample.
    pub sample: [usize; 3],
    /// Number of classes; the label with this number means "no class".
    pub classes: usize,
    /// The prompts' embeddings, for networks that read them.
    pub text: Option<TextSpec>,
    /// The prompts' tokens, where the data hold those: a text encoder makes embeddings of them.
    pub tokens: Option<TokenSpec>,
}

/// The embeddings of prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextSpec {
    /// Tokens of a prompt, padding included.
    pub tokens: usize,
    /// Numbers of a token.
    pub width: usize,
}

impl TextSpec {
    /// A condition on prompts alone: embeddings, and which tokens count.
    fn condition(self) -> Condition<TensorType> {
        Condition {
            text: Some(TensorType::f32([self.tokens, self.width])),
            text_mask: Some(TensorType::new(DType::I32, [self.tokens])),
            ..Condition::default()
        }
    }
}

impl DataSpec {
    /// Labelled samples of height, width and channels, without prompts.
    pub const fn labelled(sample: [usize; 3], classes: usize) -> Self {
        DataSpec { sample, classes, text: None, tokens: None }
    }

    /// The prompts, for a network of this kind that reads them.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if the data have none.
    pub fn text_for(&self, kind: &'static str) -> Result<TextSpec, ConfigError> {
        let allowed = "it reads prompts, and the data have none; captions become tokens by `twinflow-xla data tokenizer DATASET.h5`";
        self.text.ok_or(ConfigError::Value { key: "model.kind", value: format!("{kind:?}"), allowed })
    }
}

/// `[model]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ModelConfig {
    /// Diffusion transformer.
    Dit(DitConfig),
    /// Residual MLP for samples of a few numbers, such as 2-D toys.
    Mlp(MlpConfig),
    /// Qwen-Image, a transformer of two streams for text to image and for editing.
    QwenImage(QwenImageConfig),
    /// Qwen-Image-2.1's transformer for text to image and editing: one causal stream of prompt and pictures.
    #[serde(rename = "qwen_image_21")]
    QwenImage21(QwenImage21Config),
    /// SANA, a transformer for text to image with linear attention.
    Sana(SanaConfig),
    /// Stable Diffusion 3 and 3.5, transformers of two streams for text to image.
    Sd3(Sd3Config),
    /// The public tutorial's U-Net.
    Unet(UnetConfig),
    /// Z-Image's transformer for text to image.
    ZImage(ZImageConfig),
}

impl Default for ModelConfig {
    fn default() -> Self {
        ModelConfig::Dit(DitConfig::default())
    }
}

impl ModelConfig {
    /// Builds the network for samples of `data`; behind `encoder`, where their prompts are tokens and it reads prompts.
    ///
    /// # Errors
    /// [`ConfigError`] if a value is not allowed or does not fit the samples.
    pub fn build_behind(&self, encoder: &TextEncoderConfig, data: DataSpec) -> Result<Box<dyn Denoiser>, ConfigError> {
        match data.tokens {
            None => self.build(data),
            Some(tokens) => prompted::build(self, encoder, tokens, data),
        }
    }

    /// Tokens that it makes of a sample of these sizes; elements of a channel for networks without patches.
    pub fn image_tokens(&self, [height, width, _]: [usize; 3]) -> usize {
        let patch = match self {
            ModelConfig::Dit(config) => config.patch,
            ModelConfig::Sd3(config) => config.patch,
            ModelConfig::QwenImage(_) | ModelConfig::ZImage(_) => 2,
            ModelConfig::Sana(config) => config.patch,
            ModelConfig::Mlp(_) | ModelConfig::QwenImage21(_) | ModelConfig::Unet(_) => 1,
        };
        (height / patch.max(1)) * (width / patch.max(1))
    }

    /// Whether its parameters stand for places in a sample, so that they serve one height and width alone.
    pub fn has_weights_per_pixel(&self) -> bool {
        matches!(self, ModelConfig::Mlp(_))
    }

    /// Builds the network for samples of `data`, whose prompts come as embeddings.
    ///
    /// # Errors
    /// [`ConfigError`] if a value is not allowed or does not fit the samples.
    pub fn build(&self, data: DataSpec) -> Result<Box<dyn Denoiser>, ConfigError> {
        Ok(match self {
            ModelConfig::Dit(config) => Box::new(config.build(data)?),
            ModelConfig::Mlp(config) => Box::new(config.build(data)?),
            ModelConfig::QwenImage(config) => Box::new(config.build(data)?),
            ModelConfig::QwenImage21(config) => Box::new(config.build(data)?),
            ModelConfig::Sana(config) => Box::new(config.build(data)?),
            ModelConfig::Sd3(config) => Box::new(config.build(data)?),
            ModelConfig::Unet(config) => Box::new(config.build(data)?),
            ModelConfig::ZImage(config) => Box::new(config.build(data)?),
        })
    }
}
