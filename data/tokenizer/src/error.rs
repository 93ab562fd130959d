//! What can be wrong with a tokenizer.

/// Any failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum TokenizerError {
    /// A text that describes no tokenizer.
    #[error(
        "no tokenizer: {reason}; it must be a tokenizer.json as Hugging Face's fast tokenizers save it (save_pretrained)"
    )]
    Json { reason: String },
    /// A vocabulary without room for what it must hold.
    #[error(
        "a vocabulary of {vocabulary} is too small: padding and the 256 bytes take {least}, and merged pieces come on top"
    )]
    Vocabulary { vocabulary: usize, least: usize },
    /// Nothing to learn from.
    #[error("there is no caption to train a tokenizer on")]
    NoCaptions,
    /// Rows too short for what the tokenizer adds to every prompt.
    #[error("{tokens} tokens per prompt are too few: this tokenizer adds {added} of its own, so at least {least} are needed", least = added + 1)]
    TooFewTokens { tokens: usize, added: usize },
    /// The library failed.
    #[error("the tokenizer failed on '{text}': {reason}")]
    Library { text: String, reason: String },
}
