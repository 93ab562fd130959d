//! Pictures as tokens: square patches, row by row.
//!
//! Suffixes: b batch, h height, w width, c channels, t tokens, p patch elements.

use twinflow_compiler::Tensor;

/// `[b, height, width, channels]` -> `[b, t, p]`: patches of this side row by row, p ordered row, column, channel.
#[track_caller]
pub(super) fn patchify(x_bhwc: Tensor<'_>, patch: usize) -> Tensor<'_> {
    let [b, height, width, channels] = [0, 1, 2, 3].map(|dim| x_bhwc.dim(dim));
    let (rows, columns) = (height / patch, width / patch);
    x_bhwc.reshape([b, rows, patch, columns, patch, channels]).transpose(&[0, 1, 3, 2, 4, 5]).reshape([
        b,
        rows * columns,
        patch * patch * channels,
    ])
}

/// The inverse of [`patchify`], for pictures of this height, width and channels.
#[track_caller]
pub(super) fn unpatchify(x_btp: Tensor<'_>, [height, width, channels]: [usize; 3], patch: usize) -> Tensor<'_> {
    let (rows, columns, b) = (height / patch, width / patch, x_btp.dim(0));
    x_btp
        .reshape([b, rows, columns, patch, patch, channels])
        .transpose(&[0, 1, 3, 2, 4, 5])
        .reshape([b, height, width, channels])
}
