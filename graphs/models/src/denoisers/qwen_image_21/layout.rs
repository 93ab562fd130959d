//! Where the tokens of prompt and pictures stand in the one stream, and which of them see each other.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use twinflow_nn::{ConfigError, require};

/// Tokens of a picture for each of its places in the prompt: the vision-language model sees patches of twice the side.
const TOKENS_PER_SLOT: usize = 4;

/// A picture to go by: where its places stand in the prompt, and its latents' size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceSlots {
    /// The first of its places, counted in tokens of the prompt; there are `height * width / 4` of them.
    pub at: usize,
    /// Rows of its latents, an even number.
    pub height: usize,
    /// Columns of its latents, an even number.
    pub width: usize,
}

/// The stream: pieces of the prompt with the pictures to go by between them, then the picture itself. One for all
/// samples: padding of a prompt uses up positions.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) pieces: Vec<Piece>,
}

/// Tokens that follow each other.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    /// These tokens of the prompt.
    Prompt(Range<usize>),
    /// The pixels of the latents, row by row.
    Picture { height: usize, width: usize },
}

impl Piece {
    pub(super) fn tokens(&self) -> usize {
        match self {
            Piece::Prompt(tokens) => tokens.len(),
            Piece::Picture { height, width } => height * width,
        }
    }
}

impl Layout {
    /// The layout for a prompt of so many tokens and a picture of this height and width.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if a picture's places overlap another's, lie beyond the prompt or cannot be counted.
    pub(super) fn new(tokens: usize, references: &[ReferenceSlots], picture: [usize; 2]) -> Result<Self, ConfigError> {
        let (mut pieces, mut read) = (Vec::new(), 0);
        for reference in references {
            let &ReferenceSlots { at, height, width } = reference;
            let end = at.saturating_add(height.saturating_mul(width) / TOKENS_PER_SLOT);
            let counted = height > 0 && width > 0 && height.is_multiple_of(2) && width.is_multiple_of(2);
            let allowed = "even sizes, and places one picture after the other inside the prompt's tokens";
            require(counted && at >= read && end <= tokens, "model.references", reference, allowed)?;
            pieces.extend((at > read).then_some(Piece::Prompt(read..at)));
            pieces.push(Piece::Picture { height, width });
            read = end;
        }
        pieces.extend((tokens > read).then_some(Piece::Prompt(read..tokens)));
        let [height, width] = picture;
        pieces.push(Piece::Picture { height, width });
        Ok(Layout { pieces })
    }

    /// Frame, row and column of each token. Text counts on all three axes at once; a picture stands still at the number
    /// reached, its rows and columns centred on zero, and then the number grows by its longer side.
    pub(super) fn positions(&self) -> Vec<[i32; 3]> {
        let (mut positions, mut at) = (Vec::new(), 0);
        for piece in &self.pieces {
            match *piece {
                Piece::Prompt(_) => {
                    let next = at + piece.tokens() as i32;
                    positions.extend((at..next).map(|place| [place; 3]));
                    at = next;
                }
                Piece::Picture { height, width } => {
                    let centred = |place: usize, size: usize| place as i32 - (size - size / 2) as i32;
                    let token = |i: usize| [at, centred(i / width, height), centred(i % width, width)];
                    positions.extend((0..height * width).map(token));
                    at += height.max(width) as i32;
                }
            }
        }
        positions
    }

    /// For each token, how many tokens from the first on it sees: a token of text those up to itself, one of a picture
    /// those up to the picture's last.
    pub(super) fn seen(&self) -> Vec<i32> {
        let mut seen = Vec::new();
        for piece in &self.pieces {
            let (start, tokens) = (seen.len(), piece.tokens());
            seen.extend((1..=tokens).map(|i| match piece {
                Piece::Prompt(_) => (start + i) as i32,
                Piece::Picture { .. } => (start + tokens) as i32,
            }));
        }
        seen
    }

    /// Tokens before those of the picture itself.
    pub(super) fn prefix(&self) -> usize {
        self.pieces.iter().rev().skip(1).map(Piece::tokens).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(references: &[ReferenceSlots]) -> Result<Layout, ConfigError> {
        Layout::new(5, references, [1, 2])
    }

    #[test]
    fn a_picture_in_the_prompt_takes_the_places_of_its_slots() {
        let layout = layout(&[ReferenceSlots { at: 1, height: 2, width: 4 }]).unwrap();
        let square: Vec<_> = (0..8).map(|i| [1, i / 4 - 1, i % 4 - 2]).collect();
        let expected = [&[[0; 3]][..], &square, &[[5; 3], [6; 3], [7, -1, -1], [7, -1, 0]]].concat();
        assert_eq!(layout.positions(), expected);
        assert_eq!(layout.seen(), [1, 9, 9, 9, 9, 9, 9, 9, 9, 10, 11, 13, 13]);
        assert_eq!(layout.prefix(), 11);
    }

    #[test]
    fn adjacent_pictures_are_blocks_of_their_own() {
        let [first, second] = [0, 1].map(|at| ReferenceSlots { at, height: 2, width: 2 });
        assert_eq!(layout(&[first, second]).unwrap().seen(), [4, 4, 4, 4, 8, 8, 8, 8, 9, 10, 11, 13, 13]);
    }

    #[test]
    fn places_that_cannot_be_are_refused() {
        let slots = |at, height| ReferenceSlots { at, height, width: 2 };
        for references in [&[slots(0, 1)][..], &[slots(0, 0)], &[slots(4, 4)], &[slots(1, 2), slots(1, 2)]] {
            assert!(layout(references).is_err(), "{references:?}");
        }
    }
}
