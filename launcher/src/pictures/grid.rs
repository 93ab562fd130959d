//! Samples side by side.

use image::{GrayImage, ImageBuffer, Luma, Pixel, Rgb, RgbImage, imageops};

use super::{Picture, PictureError};

/// Pixels between pictures, after enlarging.
const GAP: u32 = 2;

/// Values in `[-1, 1]` as bytes 0 to 255, rounded; what lies outside is clamped.
pub fn to_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().map(|value| ((value.clamp(-1.0, 1.0) + 1.0) * 127.5).round() as u8).collect()
}

/// Pictures `[n, height, width, channels]` as a grid with `columns` per row (one row per class), enlarged twice. One
/// channel gives a gray picture, three an RGB one; of other numbers the first is shown.
///
/// # Errors
/// [`PictureError`].
pub fn grid(bytes: &[u8], shape: [usize; 3], columns: usize) -> Result<Picture, PictureError> {
    if shape[2] == 3 {
        let rgb: RgbImage = tile(bytes, shape, columns, |pixel| Rgb([pixel[0], pixel[1], pixel[2]]));
        Picture::new(rgb)
    } else {
        let gray: GrayImage = tile(bytes, shape, columns, |pixel| Luma([pixel[0]]));
        Picture::new(gray)
    }
}

fn tile<P: Pixel<Subpixel = u8> + 'static>(
    bytes: &[u8],
    [height, width, channels]: [usize; 3],
    columns: usize,
    to_pixel: impl Fn(&[u8]) -> P,
) -> ImageBuffer<P, Vec<u8>> {
    let pictures = bytes.chunks_exact(height * width * channels);
    let rows = pictures.len().div_ceil(columns).max(1);
    let (cell_width, cell_height) = (2 * width as u32 + GAP, 2 * height as u32 + GAP);
    let background = to_pixel(&[255, 255, 255]);
    let (grid_width, grid_height) = (columns as u32 * cell_width + GAP, rows as u32 * cell_height + GAP);
    let mut grid = ImageBuffer::from_pixel(grid_width, grid_height, background);
    for (i, picture) in pictures.enumerate() {
        let small = ImageBuffer::from_fn(width as u32, height as u32, |x, y| {
            let start = (y as usize * width + x as usize) * channels;
            to_pixel(&picture[start..start + channels])
        });
        let large = imageops::resize(&small, 2 * width as u32, 2 * height as u32, imageops::FilterType::Nearest);
        let (row, column) = ((i / columns) as u32, (i % columns) as u32);
        imageops::replace(&mut grid, &large, i64::from(GAP + column * cell_width), i64::from(GAP + row * cell_height));
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_filled_in_order_and_pixels_doubled() {
        // Three pictures of 1 x 2 pixels in rows of two.
        let grid: GrayImage = tile(&[10, 20, 30, 40, 50, 60], [1, 2, 1], 2, |pixel| Luma([pixel[0]]));
        assert_eq!(grid.dimensions(), (2 * (4 + GAP) + GAP, 2 * (2 + GAP) + GAP));
        let at = |x, y| grid.get_pixel(x, y).0[0];
        assert_eq!([at(2, 2), at(3, 3), at(4, 2), at(8, 2), at(2, 6), at(8, 6)], [10, 10, 20, 30, 50, 255]);
    }

    #[test]
    fn values_map_to_the_whole_byte_range() {
        assert_eq!(to_bytes(&[-1.0, 0.0, 1.0, 2.0, f32::NAN]), [0, 128, 255, 255, 0]);
    }
}
