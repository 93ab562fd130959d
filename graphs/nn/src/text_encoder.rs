//! The role of networks that turn prompts into embeddings.

use twinflow_compiler::Tensor;

use crate::{Init, Params};

/// A prompt's embeddings.
#[derive(Clone, Copy, Debug)]
pub struct EncodedText<T> {
    /// Of its tokens, f32 `[b, n, c]`; what stands where a token does not count is never to be looked at.
    pub text: T,
    /// Of the whole prompt, f32 `[b, p]`.
    pub pooled: T,
}

/// A network that turns a prompt's tokens into embeddings, for a [`Denoiser`](crate::Denoiser) to read.
pub trait TextEncoder: Send + Sync {
    /// Types and first values of the parameters.
    fn parameters(&self) -> Params<Init>;

    /// The embeddings of tokens i32 `[b, n]`, of which those count where `mask` (i32 `[b, n]`) is 1.
    fn encode<'t>(&self, params: &Params<Tensor<'t>>, tokens: Tensor<'t>, mask: Tensor<'t>) -> EncodedText<Tensor<'t>>;
}
