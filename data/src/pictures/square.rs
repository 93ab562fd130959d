//! A picture as a square of the training resolution, with the bits that torchvision gives.

use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer, images::Image};
use image::RgbImage;

/// Which antialiased filter resizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// The triangle; torchvision's default.
    #[default]
    Bilinear,
    /// Keys' cubic with a = -1/2, sharper.
    Bicubic,
}

impl Filter {
    fn kernel(self) -> FilterType {
        match self {
            Filter::Bilinear => FilterType::Bilinear,
            Filter::Bicubic => FilterType::CatmullRom,
        }
    }
}

/// The middle square of a picture whose shorter side is resized to `resolution`: torchvision's `Resize(resolution)` with
/// antialias on bytes, then `CenterCrop(resolution)`. Bytes `[resolution, resolution, 3]`.
pub(crate) fn square(picture: RgbImage, resolution: u32, filter: Filter) -> Vec<u8> {
    let (width, height) = picture.dimensions();
    let short = u64::from(width.min(height));
    let scaled = |side: u32| (u64::from(side) * u64::from(resolution) / short) as u32;
    let (new_width, new_height) = (scaled(width), scaled(height));
    let image = Image::from_vec_u8(width, height, picture.into_raw(), PixelType::U8x3).expect("three bytes per pixel");
    // Width first, then height, rounded to bytes in between: in one call the order is the other, and so are the bits.
    let wide = resize(image, new_width, height, filter);
    crop(&resize(wide, new_width, new_height, filter), resolution)
}

fn resize(image: Image<'static>, width: u32, height: u32, filter: Filter) -> Image<'static> {
    if (image.width(), image.height()) == (width, height) {
        return image;
    }
    let mut resized = Image::new(width, height, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter.kernel()));
    Resizer::new().resize(&image, &mut resized, &options).expect("both images are RGB");
    resized
}

/// The middle of an image; of an odd rest the half is rounded to even, as Python rounds.
fn crop(image: &Image<'_>, side: u32) -> Vec<u8> {
    let first = |length: u32| (f64::from(length - side) / 2.0).round_ties_even() as usize;
    let (left, top, side) = (first(image.width()), first(image.height()), side as usize);
    let rows = image.buffer().chunks_exact(3 * image.width() as usize).skip(top).take(side);
    rows.flat_map(|row| &row[3 * left..3 * (left + side)]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pictures::decode::decode;

    /// CRC-32 of `torch.nn.functional.interpolate(uint8, antialias=True)` (2.15), which torchvision v2 calls, and its
    /// centre crop: to 13 by `bilinear`, to 40 by `bicubic`.
    const TORCH: [(&[u8], [u32; 2]); 4] = [
        (include_bytes!("../../tests/pictures/rgb.png"), [0x5e12_8c27, 0xe0a6_7ad9]),
        (include_bytes!("../../tests/pictures/420.jpg"), [0x3948_a24c, 0x756c_c9c1]),
        (include_bytes!("../../tests/pictures/alpha.png"), [0x91ce_82cf, 0xaa9a_ea3d]),
        (include_bytes!("../../tests/pictures/turned.jpg"), [0xe4de_817c, 0x67ec_2722]),
    ];

    #[test]
    fn squares_have_the_bits_that_torch_gives() {
        for (file, (bytes, checksums)) in TORCH.into_iter().enumerate() {
            let picture = decode(bytes, [255; 3]).unwrap();
            let small = square(picture.clone(), 13, Filter::Bilinear);
            let large = square(picture, 40, Filter::Bicubic);
            assert_eq!((small.len(), large.len()), (3 * 13 * 13, 3 * 40 * 40));
            assert_eq!([small, large].map(|bytes| crc32fast::hash(&bytes)), checksums, "file {file}");
        }
    }

    #[test]
    fn the_crop_is_the_middle() {
        let picture = RgbImage::from_fn(7, 4, |x, y| image::Rgb([x as u8, y as u8, 0]));
        let kept = square(picture, 4, Filter::Bilinear);
        // Of three columns too many, 1.5 are left of it: rounded to the even 2.
        assert_eq!((kept[0], kept[3 * 4 - 3]), (2, 5));
    }
}
