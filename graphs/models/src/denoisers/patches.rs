//! Square patches of a picture as tokens.

use twinflow_compiler::Tensor;

/// The order of a patch's numbers in its token.
#[derive(Clone, Copy, Debug)]
pub(super) enum PatchOrder {
    /// Row, column, channel.
    ChannelLast,
    /// Channel, row, column.
    ChannelFirst,
}

/// `[b, height, width, channels]` -> `[b, t, side * side * channels]`: patches row by row.
#[track_caller]
pub(super) fn patchify(x_bhwc: Tensor<'_>, side: usize, order: PatchOrder) -> Tensor<'_> {
    let (b, channels) = (x_bhwc.dim(0), x_bhwc.dim(-1));
    let (rows, columns) = (x_bhwc.dim(1) / side, x_bhwc.dim(2) / side);
    let permutation = match order {
        PatchOrder::ChannelLast => [0, 1, 3, 2, 4, 5],
        PatchOrder::ChannelFirst => [0, 1, 3, 5, 2, 4],
    };
    let parted = x_bhwc.reshape([b, rows, side, columns, side, channels]);
    parted.transpose(&permutation).reshape([b, rows * columns, side * side * channels])
}

/// The inverse of [`patchify`], for `[rows, columns]` of patches.
#[track_caller]
pub(super) fn unpatchify(x_btp: Tensor<'_>, grid: [usize; 2], side: usize, order: PatchOrder) -> Tensor<'_> {
    let (b, channels, [rows, columns]) = (x_btp.dim(0), x_btp.dim(-1) / (side * side), grid);
    let parted = match order {
        PatchOrder::ChannelLast => {
            x_btp.reshape([b, rows, columns, side, side, channels]).transpose(&[0, 1, 3, 2, 4, 5])
        }
        PatchOrder::ChannelFirst => {
            x_btp.reshape([b, rows, columns, channels, side, side]).transpose(&[0, 1, 4, 2, 5, 3])
        }
    };
    parted.reshape([b, rows * side, columns * side, channels])
}
