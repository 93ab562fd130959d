//! Layers: structs of parameters, generic over the leaf, with a constructor that declares first values and a `forward`;
//! and the roles that networks of layers play.
//!
//! Suffixes name a tensor's dims: b batch, t tokens, d width, h heads, k width of a head; of images `bhwc`: b batch,
//! h height, w width, c channels.

mod attention;
mod convolution;
mod denoiser;
mod embedding;
mod error;
mod init;
mod linear;
mod linear_attention;
mod mlp;
mod norm;
mod params;
mod rotary;
mod rotary_attention;
mod text_encoder;
mod time;

pub use attention::{Attention, AttentionDims, attend, join_heads, mask_bias, split_heads};
pub use convolution::{Conv2d, ConvTranspose2d};
pub use denoiser::{Condition, Denoiser, DenoiserInput};
pub use embedding::{ClassEmbedding, TokenEmbedding, position_embedding_2d};
pub use error::{ConfigError, require, require_multiple};
pub use init::Init;
pub use linear::Linear;
pub use linear_attention::attend_linearly;
pub use mlp::Mlp;
pub use norm::{CentredRmsNorm, GroupNorm, RmsNorm, layer_norm};
pub use params::Params;
pub use rotary::{RotaryAxis, rotary_angles, rotate_neighbours};
pub use rotary_attention::RotaryAttention;
pub use text_encoder::{EncodedText, TextEncoder};
pub use time::{
    FEATURES as TIME_FEATURES, SignEmbedding, TargetTime, TimeEmbedding, TimeSign, TimestepEmbedding, TwoTimes,
    timestep_features,
};
