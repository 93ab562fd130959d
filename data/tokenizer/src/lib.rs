//! From prompts to rows of token numbers of one length: by any tokenizer.json of Hugging Face's library, or by one that
//! is trained on captions. Nothing of a prompt is dropped in silence.

mod error;
mod prompt;
mod tokenizer;
mod train;

pub use error::TokenizerError;
pub use prompt::EncodedPrompt;
pub use tokenizer::Tokenizer;
