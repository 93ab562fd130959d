//! A picture in a shape of the training's, with the bits that torchvision gives.

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

/// The middle of a picture that is resized until it just covers `[width, height]`. For squares this is torchvision's
/// `Resize(side)` with antialias on bytes, then `CenterCrop(side)`. Bytes `[height, width, 3]`.
pub(crate) fn fit(picture: RgbImage, [width, height]: [u32; 2], filter: Filter) -> Vec<u8> {
    let (own_width, own_height) = picture.dimensions();
    let scaled = |side: u32, to: u32, of: u32| (u64::from(side) * u64::from(to) / u64::from(of)) as u32;
    // The side that is too long keeps the picture's aspect ratio.
    let is_wide = u64::from(own_width) * u64::from(height) >= u64::from(own_height) * u64::from(width);
    let (new_width, new_height) = match is_wide {
        true => (scaled(own_width, height, own_height), height),
        false => (width, scaled(own_height, width, own_width)),
    };
    let pixels = picture.into_raw();
    let image = Image::from_vec_u8(own_width, own_height, pixels, PixelType::U8x3).expect("three bytes per pixel");
    // Width first, then height, rounded to bytes in between: in one call the order is the other, and so are the bits.
    let wide = resize(image, new_width, own_height, filter);
    crop(&resize(wide, new_width, new_height, filter), [width, height])
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
fn crop(image: &Image<'_>, [width, height]: [u32; 2]) -> Vec<u8> {
    let first = |length: u32, kept: u32| (f64::from(length - kept) / 2.0).round_ties_even() as usize;
    let (left, top) = (first(image.width(), width), first(image.height(), height));
    let rows = image.buffer().chunks_exact(3 * image.width() as usize).skip(top).take(height as usize);
    let mut middle = Vec::with_capacity(3 * width as usize * height as usize);
    // Row by row: an iterator over bytes takes as long as half of the decoding.
    rows.for_each(|row| middle.extend_from_slice(&row[3 * left..3 * (left + width as usize)]));
    middle
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
            let small = fit(picture.clone(), [13; 2], Filter::Bilinear);
            let large = fit(picture, [40; 2], Filter::Bicubic);
            assert_eq!((small.len(), large.len()), (3 * 13 * 13, 3 * 40 * 40));
            assert_eq!([small, large].map(|bytes| crc32fast::hash(&bytes)), checksums, "file {file}");
        }
    }

    #[test]
    fn pictures_cover_a_shape_and_keep_their_aspect_ratio() {
        let bytes = TORCH[0].0;
        let square = fit(decode(bytes, [255; 3]).unwrap(), [23; 2], Filter::Bilinear);
        // 37 x 23 in 37 x 23, and the middle of it where the width is cut, are the picture itself.
        let whole = decode(bytes, [255; 3]).unwrap();
        assert_eq!(fit(whole.clone(), [37, 23], Filter::Bilinear), whole.as_raw()[..]);
        assert_eq!(
            square,
            crop(&Image::from_vec_u8(37, 23, whole.clone().into_raw(), PixelType::U8x3).unwrap(), [23; 2])
        );
        for shape in [[13, 40], [40, 13], [8, 16], [74, 45]] {
            assert_eq!(fit(whole.clone(), shape, Filter::Bicubic).len(), 3 * (shape[0] * shape[1]) as usize);
        }
    }

    #[test]
    fn the_crop_is_the_middle() {
        let picture = RgbImage::from_fn(7, 4, |x, y| image::Rgb([x as u8, y as u8, 0]));
        let kept = fit(picture, [4; 2], Filter::Bilinear);
        // Of three columns too many, 1.5 are left of it: rounded to the even 2.
        assert_eq!((kept[0], kept[3 * 4 - 3]), (2, 5));
    }
}
