//! A tokenizer with the text that describes it.

use std::{collections::HashMap, fmt, ops::Range};

use serde_json::Value;
use tokenizers::{Encoding, PostProcessor, Tokenizer as Library, TruncationDirection};

use crate::{EncodedPrompt, TokenizerError, prompt::uncovered};

/// Usual names of the token that fills rows up, for tokenizers that do not name theirs.
const PADDINGS: [&str; 4] = ["<pad>", "[PAD]", "<|endoftext|>", "</s>"];

/// Turns prompts into token numbers.
#[derive(Clone)]
pub struct Tokenizer {
    library: Library,
    json: String,
    vocabulary: usize,
    padding: u32,
    unknown: Option<u32>,
}

impl Tokenizer {
    /// A tokenizer of the content of a tokenizer.json. What that says of cutting and padding is left aside: prompts are
    /// cut and filled up at the end to the length that [`Tokenizer::encode`] is given.
    ///
    /// # Errors
    /// [`TokenizerError::Json`].
    pub fn from_json(json: &str) -> Result<Self, TokenizerError> {
        let refused = |reason: String| TokenizerError::Json { reason };
        let content: Value = serde_json::from_str(json).map_err(|error| refused(error.to_string()))?;
        let mut library = Library::from_bytes(json.as_bytes()).map_err(|error| refused(error.to_string()))?;
        let vocabulary = library.get_vocab(true);
        let highest = vocabulary.values().max().ok_or_else(|| refused("its vocabulary is empty".into()))?;
        let vocabulary_size = *highest as usize + 1;
        let named = library.get_padding().map(|padding| padding.pad_id);
        let usual = || PADDINGS.iter().find_map(|name| vocabulary.get(*name).copied());
        let padding = named.or_else(usual).filter(|id| (*id as usize) < vocabulary_size).unwrap_or(0);
        let unknown = unknown_token(&content["model"], &vocabulary);
        library.with_padding(None);
        library.with_truncation(None).map_err(|error| refused(error.to_string()))?;
        Ok(Tokenizer { library, json: json.to_owned(), vocabulary: vocabulary_size, padding, unknown })
    }

    /// The text that [`Tokenizer::from_json`] took.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// CRC-32 of the text: tokenizers of different fingerprints give different numbers.
    pub fn fingerprint(&self) -> u32 {
        crc32fast::hash(self.json.as_bytes())
    }

    /// Numbers are below it.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// Tokens that it puts around every prompt, such as one for its end.
    pub fn added_tokens(&self) -> usize {
        self.library.get_post_processor().map_or(0, |processor| processor.added_tokens(false))
    }

    /// Tokens of a prompt, those that are put around it included.
    ///
    /// # Errors
    /// [`TokenizerError::Library`].
    pub fn length(&self, prompt: &str) -> Result<usize, TokenizerError> {
        Ok(self.content(prompt)?.len() + self.added_tokens())
    }

    /// A prompt as a row of `tokens` numbers.
    ///
    /// # Errors
    /// [`TokenizerError::TooFewTokens`], [`TokenizerError::Library`].
    pub fn encode(&self, prompt: &str, tokens: usize) -> Result<EncodedPrompt, TokenizerError> {
        let added = self.added_tokens();
        let room = tokens.checked_sub(added).filter(|room| *room > 0);
        let room = room.ok_or(TokenizerError::TooFewTokens { tokens, added })?;
        let mut content = self.content(prompt)?;
        let unknown = self.unknown_parts(prompt, &content);
        let cut = content.get_offsets().get(room).map(|next| prompt[next.0.min(prompt.len())..].to_owned());
        content.truncate(room, 0, TruncationDirection::Right);
        let whole = self.library.post_process(content, None, true).map_err(|error| failed(prompt, error))?;
        let mut ids: Vec<i32> = whole.get_ids().iter().map(|id| *id as i32).collect();
        let mut mask = vec![1; ids.len()];
        ids.resize(tokens, self.padding as i32);
        mask.resize(tokens, 0);
        Ok(EncodedPrompt { ids, mask, unknown, cut })
    }

    /// The prompt's own tokens, with their places in bytes.
    fn content(&self, prompt: &str) -> Result<Encoding, TokenizerError> {
        self.library.encode(prompt, false).map_err(|error| failed(prompt, error))
    }

    fn unknown_parts(&self, prompt: &str, content: &Encoding) -> Vec<String> {
        let end = prompt.len();
        let places = || content.get_offsets().iter().map(|place| place.0.min(end)..place.1.min(end));
        let is_unknown = |(id, _): &(&u32, Range<usize>)| Some(**id) == self.unknown;
        let named = content.get_ids().iter().zip(places()).filter(is_unknown);
        let mut parts: Vec<String> = named.filter_map(|(_, place)| prompt.get(place)).map(str::to_owned).collect();
        parts.extend(uncovered(prompt, places()));
        parts.dedup();
        parts
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokenizer({} tokens, {:08x})", self.vocabulary, self.fingerprint())
    }
}

impl PartialEq for Tokenizer {
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

/// The token that stands for what a model does not know.
fn unknown_token(model: &Value, vocabulary: &HashMap<String, u32>) -> Option<u32> {
    let by_number = model["unk_id"].as_u64().and_then(|id| u32::try_from(id).ok());
    by_number.or_else(|| vocabulary.get(model["unk_token"].as_str()?).copied())
}

fn failed(text: &str, error: tokenizers::Error) -> TokenizerError {
    TokenizerError::Library { text: text.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Whole words between a first and a last token, as BERT and CLIP have them.
    fn of_words() -> Tokenizer {
        let special = |id: u32, content: &str| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false, "special": true})
        };
        let piece = |token: &str| json!({"SpecialToken": {"id": token, "type_id": 0}});
        let text = json!({
            "version": "1.0",
            "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
            "padding": {"strategy": {"Fixed": 9}, "direction": "Left", "pad_to_multiple_of": null, "pad_id": 3,
                        "pad_type_id": 0, "pad_token": "[PAD]"},
            "added_tokens": [special(0, "<s>"), special(1, "</s>"), special(2, "[UNK]"), special(3, "[PAD]")],
            "normalizer": null,
            "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [piece("<s>"), {"Sequence": {"id": "A", "type_id": 0}}, piece("</s>")],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {
                    "<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]},
                    "</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}
                }
            },
            "decoder": null,
            "model": {"type": "WordLevel", "unk_token": "[UNK]",
                      "vocab": {"<s>": 0, "</s>": 1, "[UNK]": 2, "[PAD]": 3, "red": 4, "apple": 9}}
        });
        Tokenizer::from_json(&text.to_string()).unwrap()
    }

    #[test]
    fn prompts_are_cut_and_filled_up_to_the_length_asked_for() {
        let tokenizer = of_words();
        assert_eq!((tokenizer.vocabulary(), tokenizer.added_tokens()), (10, 2));
        let whole = tokenizer.encode("red apple", 6).unwrap();
        assert_eq!((whole.ids, whole.mask), (vec![0, 4, 9, 1, 3, 3], vec![1, 1, 1, 1, 0, 0]));
        let cut = tokenizer.encode("red red apple", 4).unwrap();
        assert_eq!((cut.ids, cut.cut.as_deref()), (vec![0, 4, 4, 1], Some("apple")));
        assert_eq!(tokenizer.encode("", 3).unwrap().ids, [0, 1, 3]);
        let error = tokenizer.encode("red", 2).unwrap_err().to_string();
        assert!(error.ends_with("adds 2 of its own, so at least 3 are needed"), "{error}");
    }

    #[test]
    fn unknown_words_are_named() {
        let encoded = of_words().encode("red bear apple 猫", 8).unwrap();
        assert_eq!(encoded.unknown, ["bear", "猫"]);
        assert_eq!(encoded.ids, [0, 4, 2, 9, 2, 1, 3, 3]);
    }

    #[test]
    fn texts_that_are_no_tokenizer_are_refused() {
        for text in ["", "{}", "{\"model\": {}}", "[1]"] {
            let error = Tokenizer::from_json(text).unwrap_err().to_string();
            assert!(error.contains("must be a tokenizer.json"), "{text}: {error}");
        }
    }
}
