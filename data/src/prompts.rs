//! Captions as tokens, by the tokenizer that the dataset holds.

use std::{fs, path::Path};

use hdf5_metno::{Container, File};
use twinflow_files::{PartialFile, folder_of};
use twinflow_hdf5::failed;
use twinflow_tokenizer::{EncodedPrompt, Tokenizer, TokenizerError};

use crate::{
    DataError, Dataset, Field, TextShape, Verify, error::io_error, schema::file_options, stored::write_packed,
};

/// Content of the tokenizer.json, u8 `[bytes]`, gzipped.
pub(crate) const TOKENIZER: &str = "tokenizer";
/// Its attribute: tokens of a prompt, padding included.
pub(crate) const PROMPT_TOKENS: &str = "tokens";

/// What makes rows of tokens of a dataset's captions.
#[derive(Clone, Debug)]
pub(crate) struct Prompts {
    pub tokenizer: Tokenizer,
    /// Tokens of a row.
    pub tokens: usize,
}

/// How captions fit into rows of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptionLengths {
    /// Tokens of the longest caption.
    pub longest: usize,
    /// Tokens of a row.
    pub tokens: usize,
    /// Captions that do not fit, of which the end is left out.
    pub cut: usize,
    /// Captions with parts that the tokenizer does not know.
    pub with_unknown: usize,
    /// Some of those parts.
    pub unknown: Vec<String>,
}

/// Unknown parts that are named.
const MOST_NAMED: usize = 8;

impl Prompts {
    /// # Errors
    /// [`TokenizerError::TooFewTokens`] if no prompt fits.
    pub fn new(tokenizer: Tokenizer, tokens: usize) -> Result<Self, TokenizerError> {
        tokenizer.encode("", tokens).map(|_| Prompts { tokenizer, tokens })
    }

    pub fn fields(&self) -> Vec<Field> {
        TextShape { tokens: self.tokens, vocabulary: self.tokenizer.vocabulary(), ..TextShape::default() }.fields()
    }

    /// Writes a caption's tokens and their mask.
    pub fn encode(&self, caption: &str, ids: &mut [i32], mask: &mut [i32]) -> Result<(), DataError> {
        let prompt = self.tokenizer.encode(caption, self.tokens)?;
        ids.copy_from_slice(&prompt.ids);
        mask.copy_from_slice(&prompt.mask);
        Ok(())
    }

    /// Puts it into a file, in the place of another.
    pub fn write(&self, file: &File) -> hdf5_metno::Result<()> {
        if file.link_exists(TOKENIZER) {
            file.unlink(TOKENIZER)?;
        }
        let stored = write_packed(file, TOKENIZER, self.tokenizer.json().as_bytes())?;
        stored.new_attr::<u32>().create(PROMPT_TOKENS)?.write_scalar(&(self.tokens as u32))
    }

    pub fn read_tokens(stored: &Container) -> hdf5_metno::Result<usize> {
        stored.attr(PROMPT_TOKENS)?.read_scalar::<u64>().map(|tokens| tokens as usize)
    }
}

/// Gives a dataset with captions a tokenizer, in the place of one that it has: rows of `tokens` tokens, or of as many as
/// the longest caption takes. The file is replaced by one that has it, whole.
///
/// # Errors
/// [`DataError::NoCaptions`], [`DataError::Tokenizer`], those of [`Dataset::open`] and of writing a file.
pub fn set_tokenizer(path: &Path, tokenizer: Tokenizer, tokens: Option<usize>) -> Result<CaptionLengths, DataError> {
    let dataset = Dataset::open(path, Verify::No)?;
    let longest = dataset.all_captions()?.map(|caption| tokenizer.length(caption));
    let longest = longest.reduce(|a, b| Ok(a?.max(b?))).unwrap_or(Ok(0))?;
    let prompts = Prompts::new(tokenizer, tokens.unwrap_or(longest))?;
    let mut lengths = CaptionLengths { longest, tokens: prompts.tokens, cut: 0, with_unknown: 0, unknown: Vec::new() };
    for caption in dataset.all_captions()? {
        lengths.count(prompts.tokenizer.encode(caption, prompts.tokens)?);
    }
    let partial = PartialFile::create(path).map_err(io_error("create a file in", folder_of(path)))?;
    fs::copy(path, partial.path()).map_err(io_error("copy", path))?;
    let write = || {
        let file = file_options().open_rw(partial.path())?;
        prompts.write(&file)?;
        file.close()
    };
    write().map_err(failed("write the tokenizer into", path))?;
    partial.publish().map_err(io_error("finish", path))?;
    Ok(lengths)
}

impl CaptionLengths {
    fn count(&mut self, caption: EncodedPrompt) {
        self.cut += usize::from(caption.cut.is_some());
        self.with_unknown += usize::from(!caption.unknown.is_empty());
        let new = caption.unknown.into_iter().filter(|part| !self.unknown.contains(part)).collect::<Vec<_>>();
        self.unknown.extend(new.into_iter().take(MOST_NAMED - self.unknown.len().min(MOST_NAMED)));
    }
}
