//! A tokenizer of one's own captions.

use tokenizers::{
    AddedToken, NormalizerWrapper, Tokenizer as Library,
    models::{
        TrainerWrapper,
        bpe::{BPE, BpeTrainer},
    },
    normalizers::{Lowercase, NFC, Sequence},
    pre_tokenizers::byte_level::ByteLevel,
};

use crate::{Tokenizer, TokenizerError};

/// Stands where a row has no token; number 0.
const PADDING: &str = "<pad>";
/// Padding and one token for each byte.
const LEAST_VOCABULARY: usize = 257;

impl Tokenizer {
    /// Byte-pair encoding of bytes (Sennrich et al. 2016; Radford et al. 2019), learnt from captions: no text is unknown
    /// to it, and upper and lower case are the same. Equal captions give equal tokenizers. There are fewer tokens than
    /// `vocabulary` where the captions have no more pieces that come twice.
    ///
    /// # Errors
    /// [`TokenizerError::Vocabulary`], [`TokenizerError::NoCaptions`].
    pub fn train<'a>(
        captions: impl Iterator<Item = &'a str> + Send,
        vocabulary: usize,
    ) -> Result<Self, TokenizerError> {
        if vocabulary < LEAST_VOCABULARY {
            return Err(TokenizerError::Vocabulary { vocabulary, least: LEAST_VOCABULARY });
        }
        let mut captions = captions.peekable();
        if captions.peek().is_none() {
            return Err(TokenizerError::NoCaptions);
        }
        let failed =
            |error: tokenizers::Error| TokenizerError::Library { text: "captions".into(), reason: error.to_string() };
        let mut library = Library::new(BPE::default());
        let steps: Vec<NormalizerWrapper> = vec![NFC.into(), Lowercase.into()];
        library.with_normalizer(Some(Sequence::new(steps))).map_err(failed)?;
        library.with_pre_tokenizer(Some(ByteLevel::default().add_prefix_space(true)));
        library.with_decoder(Some(ByteLevel::default()));
        let trainer = BpeTrainer::builder()
            .vocab_size(vocabulary)
            .min_frequency(2)
            .show_progress(false)
            .special_tokens(vec![AddedToken::from(PADDING, true)])
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        library.train(&mut TrainerWrapper::from(trainer), captions).map_err(failed)?;
        Tokenizer::from_json(&library.to_string(false).map_err(failed)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPTIONS: [&str; 3] = ["a red apple", "a red car", "A green apple with a leaf"];

    fn trained(vocabulary: usize) -> Result<Tokenizer, TokenizerError> {
        Tokenizer::train(CAPTIONS.into_iter(), vocabulary)
    }

    #[test]
    fn the_same_captions_give_the_same_tokenizer() {
        let tokenizer = trained(300).unwrap();
        assert_eq!(tokenizer.json(), trained(300).unwrap().json());
        assert_ne!(tokenizer.fingerprint(), trained(258).unwrap().fingerprint());
        assert!((260..=300).contains(&tokenizer.vocabulary()), "{}", tokenizer.vocabulary());
    }

    #[test]
    fn frequent_words_are_tokens_and_no_text_is_unknown() {
        let tokenizer = trained(300).unwrap();
        let apple = tokenizer.encode("A red Apple", 5).unwrap();
        assert_eq!((&apple.mask[..], apple.cut), (&[1, 1, 1, 0, 0][..], None));
        assert_eq!(apple.ids[3..], [0, 0]);
        assert_eq!(apple.ids, tokenizer.encode("a red apple", 5).unwrap().ids);
        let strange = tokenizer.encode("猫", 8).unwrap();
        assert!(strange.unknown.is_empty() && strange.mask.iter().sum::<i32>() >= 3);
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let tokenizer = trained(300).unwrap();
        assert_eq!(tokenizer.encode("a red apple", 2).unwrap().cut.unwrap(), " apple");
        assert_eq!(tokenizer.length("a red apple").unwrap(), 3);
    }

    #[test]
    fn too_small_vocabularies_and_no_captions_are_errors() {
        assert!(trained(256).unwrap_err().to_string().contains("take 257"));
        assert!(matches!(Tokenizer::train([].into_iter(), 300), Err(TokenizerError::NoCaptions)));
    }
}
