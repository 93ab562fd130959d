//! A prompt as a network reads it.

use std::ops::Range;

/// A row of token numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedPrompt {
    /// Numbers of the tokens, filled up with padding.
    pub ids: Vec<i32>,
    /// 1 for tokens, 0 for padding.
    pub mask: Vec<i32>,
    /// Parts of the prompt that the tokenizer does not know: it read a sign for "unknown" there, or nothing.
    pub unknown: Vec<String>,
    /// The end of the prompt that did not fit into the row.
    pub cut: Option<String>,
}

/// Parts of `text` that no token stands for, white space aside; `covered` are the tokens' places, in bytes.
pub(crate) fn uncovered(text: &str, covered: impl IntoIterator<Item = Range<usize>>) -> Vec<String> {
    let mut is_covered = vec![false; text.len()];
    covered.into_iter().for_each(|place| is_covered[place].fill(true));
    let mut parts = vec![String::new()];
    for (at, letter) in text.char_indices() {
        match is_covered[at] || letter.is_whitespace() || letter.is_control() {
            true => parts.push(String::new()),
            false => parts.last_mut().expect("there is one").push(letter),
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_token_covers_is_named() {
        assert_eq!(uncovered("a b\u{e4}r 猫", [0..1, 2..3, 5..6]), ["\u{e4}", "猫"]);
        assert!(uncovered(" \t", []).is_empty());
    }
}
