//! Where the tokens of picture and prompt stand, and which of them are seen: both follow from the prompts' lengths.

use twinflow_array::{DType, TensorType};
use twinflow_compiler::{Tensor, Trace, concatenate};
use twinflow_nn::{RotaryAxis, mask_bias, rotary_angles};

use super::block::Stream;

/// Picture and prompt are filled up to a multiple of so many tokens, and what fills them up is seen.
pub(super) const MULTIPLE: usize = 32;
/// Ratio of the fastest to the slowest rotation.
const THETA: f64 = 256.0;

/// The three streams of tokens.
pub(super) struct Streams<'t> {
    pub(super) picture: Stream<'t>,
    pub(super) prompt: Stream<'t>,
    /// The picture's tokens, then the prompt's.
    pub(super) joint: Stream<'t>,
}

impl<'t> Streams<'t> {
    /// Of prompts with this mask, i32 `[b, n]`, n a multiple of [`MULTIPLE`], and pictures of `[rows, columns]` patches.
    /// Token i of a prompt stands at (1 + i, 0, 0), the patches of its picture at (filled length + 1, row, column), and
    /// what fills up a picture at (0, 0, 0).
    pub(super) fn new(mask_bn: Tensor<'t>, picture: [usize; 2], rotary: [usize; 3]) -> Self {
        let (trace, b, n) = (mask_bn.trace(), mask_bn.dim(0), mask_bn.dim(1));
        let runs = n / MULTIPLE;
        // A run of tokens with one that counts is seen as a whole.
        let used_br = mask_bn.reshape([b, runs, MULTIPLE]).max(&[-1]);
        let seen_bn = used_br.expand_dims(-1).broadcast_to([b, runs, MULTIPLE]).reshape([b, n]).ne(0.0);
        let angles = |positions: &[[i32; 3]]| {
            rotary_angles(trace, positions, rotary.map(|channels| RotaryAxis { channels, theta: THETA }))
        };
        let frames: Vec<_> = (0..=runs).map(|run| [(run * MULTIPLE) as i32 + 1, 0, 0]).collect();
        let frame_bk = angles(&frames).take(used_br.sum(&[-1]));
        let picture_btk = picture_angles(trace, frame_bk, picture, &angles);
        let prompt_nk = angles(&(1..=n as i32).map(|place| [place, 0, 0]).collect::<Vec<_>>());
        let prompt_bnk = prompt_nk.broadcast_to([b, n, prompt_nk.dim(-1)]);
        let all_bt = trace.full(TensorType::new(DType::I32, [b, picture_btk.dim(1)]), 1.0).ne(0.0);
        let of = |angles: Tensor<'t>, seen: Tensor<'t>| Stream {
            angles: angles.expand_dims(1),
            bias: Some(mask_bias(seen).expand_dims(1).expand_dims(1)),
        };
        Streams {
            picture: Stream { angles: picture_btk.expand_dims(1), bias: None },
            prompt: of(prompt_bnk, seen_bn),
            joint: of(concatenate(&[picture_btk, prompt_bnk], 1), concatenate(&[all_bt, seen_bn], 1)),
        }
    }
}

/// Angles of a picture's tokens, `[b, t, k / 2]`, from those of its frame, `[b, k / 2]`. Each channel turns with one axis,
/// so that the angles of frame and place add up.
fn picture_angles<'t>(
    trace: &'t Trace,
    frame_bk: Tensor<'t>,
    [rows, columns]: [usize; 2],
    angles: &dyn Fn(&[[i32; 3]]) -> Tensor<'t>,
) -> Tensor<'t> {
    let places: Vec<_> = (0..rows * columns).map(|i| [0, (i / columns) as i32, (i % columns) as i32]).collect();
    let patches_btk = frame_bk.expand_dims(1) + angles(&places);
    match missing(places.len()) {
        0 => patches_btk,
        more => {
            let filling = TensorType::f32([frame_bk.dim(0), more, frame_bk.dim(1)]);
            concatenate(&[patches_btk, trace.full(filling, 0.0)], 1)
        }
    }
}

/// How many tokens fill up so many to a multiple.
pub(super) fn missing(tokens: usize) -> usize {
    tokens.next_multiple_of(MULTIPLE) - tokens
}
