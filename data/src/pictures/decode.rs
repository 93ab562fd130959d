//! A picture file's bytes as RGB pixels, as Python's trainers see them: upright, opaque, eight bits.

use std::io::Cursor;

use exif::{In, Reader, Tag};
use image::{
    DynamicImage, ImageDecoder, ImageFormat, RgbImage,
    codecs::{gif::GifDecoder, png::PngDecoder, webp::WebPDecoder},
    guess_format,
    metadata::Orientation,
};

use super::{
    fault::{PictureFault, check_size},
    jpeg,
};

/// The pixels of a PNG, JPEG, WebP (first frame) or GIF (first frame), told by content and not by name. The EXIF
/// orientation is applied; what is transparent is laid over the background before anything else is done with it.
///
/// # Errors
/// What is wrong with the file.
pub(crate) fn decode(bytes: &[u8], background: [u8; 3]) -> Result<RgbImage, PictureFault> {
    if bytes.is_empty() {
        return Err(PictureFault::Empty);
    }
    let input = Cursor::new(bytes);
    let mut image = match guess_format(bytes) {
        Ok(ImageFormat::Jpeg) => jpeg::decode(bytes)?.into(),
        Ok(ImageFormat::Png) => opaque(pixels(PngDecoder::new(input))?, background),
        Ok(ImageFormat::WebP) => opaque(pixels(WebPDecoder::new(input))?, background),
        Ok(ImageFormat::Gif) => opaque(pixels(GifDecoder::new(input))?, background),
        _ => return Err(PictureFault::Format),
    };
    image.apply_orientation(orientation(bytes));
    Ok(image.into_rgb8())
}

fn pixels(decoder: image::ImageResult<impl ImageDecoder>) -> Result<DynamicImage, PictureFault> {
    let damaged = |error: image::ImageError| PictureFault::Damaged(error.to_string());
    let decoder = decoder.map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    check_size(width as usize, height as usize)?;
    DynamicImage::from_decoder(decoder).map_err(damaged)
}

/// Eight bits and no transparency. 16-bit colours lose their low byte, as in Pillow; 16-bit gray is scaled by 255 /
/// 65,535, where Pillow clips at 255 and nearly all of it turns white.
fn opaque(image: DynamicImage, background: [u8; 3]) -> DynamicImage {
    let high_bytes = |samples: &[u16]| samples.iter().map(|sample| (sample >> 8) as u8).collect::<Vec<u8>>();
    let (width, height) = (image.width(), image.height());
    let rgba = match image {
        DynamicImage::ImageLuma16(gray) => {
            let scaled = |sample: &u16| [((u32::from(*sample) + 128) / 257) as u8; 3];
            return rgb(width, height, gray.iter().flat_map(scaled).collect());
        }
        DynamicImage::ImageRgb16(colours) => return rgb(width, height, high_bytes(&colours)),
        DynamicImage::ImageLumaA16(gray) => {
            high_bytes(&gray).chunks_exact(2).flat_map(|pixel| [pixel[0], pixel[0], pixel[0], pixel[1]]).collect()
        }
        DynamicImage::ImageRgba16(colours) => high_bytes(&colours),
        image if image.color().has_alpha() => image.into_rgba8().into_raw(),
        image => return image.into_rgb8().into(),
    };
    rgb(width, height, rgba.chunks_exact(4).flat_map(|pixel| over(pixel, background)).collect())
}

fn rgb(width: u32, height: u32, pixels: Vec<u8>) -> DynamicImage {
    RgbImage::from_raw(width, height, pixels).expect("three bytes per pixel").into()
}

/// A pixel over an opaque ground (Porter and Duff 1984): `(a c + (255 - a) ground) / 255`, rounded.
fn over(pixel: &[u8], background: [u8; 3]) -> [u8; 3] {
    let alpha = u32::from(pixel[3]);
    std::array::from_fn(|i| {
        ((alpha * u32::from(pixel[i]) + (255 - alpha) * u32::from(background[i]) + 127) / 255) as u8
    })
}

/// How the camera was held; upright where the file does not say.
fn orientation(bytes: &[u8]) -> Orientation {
    let exif = Reader::new().read_from_container(&mut Cursor::new(bytes)).ok();
    let value = exif.and_then(|exif| exif.get_field(Tag::Orientation, In::PRIMARY)?.value.get_uint(0));
    value.and_then(|value| Orientation::from_exif(value as u8)).unwrap_or(Orientation::NoTransforms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHITE: [u8; 3] = [255; 3];

    /// Files of Pillow 13.0 with the size and the CRC-32 of the pixels that it reads from them (`exif_transpose`, then
    /// `alpha_composite` over white, `convert("RGB")`; 16-bit gray as `(x + 128) // 257`).
    const PILLOW: [(&[u8], [u32; 2], u32); 9] = [
        (include_bytes!("../../tests/pictures/420.jpg"), [37, 23], 0x1817_1500),
        (include_bytes!("../../tests/pictures/alpha.png"), [37, 23], 0x2521_fc7a),
        (include_bytes!("../../tests/pictures/cmyk.jpg"), [37, 23], 0x06e3_3a73),
        (include_bytes!("../../tests/pictures/first.gif"), [37, 23], 0x84d2_33c0),
        (include_bytes!("../../tests/pictures/gray16.png"), [37, 23], 0xdafe_a030),
        (include_bytes!("../../tests/pictures/lossless.webp"), [37, 23], 0xba67_703f),
        (include_bytes!("../../tests/pictures/palette.png"), [37, 23], 0x84d2_33c0),
        (include_bytes!("../../tests/pictures/rgb.png"), [37, 23], 0xba67_703f),
        (include_bytes!("../../tests/pictures/turned.jpg"), [23, 37], 0x6c35_1425),
    ];

    #[test]
    fn every_kind_of_file_has_the_pixels_that_pillow_reads() {
        for (file, (bytes, size, checksum)) in PILLOW.into_iter().enumerate() {
            let image = decode(bytes, WHITE).unwrap();
            assert_eq!([image.width(), image.height()], size, "file {file}");
            assert_eq!(crc32fast::hash(&image), checksum, "file {file}");
        }
    }

    #[test]
    fn files_cut_short_are_damaged_and_others_no_pictures() {
        for (file, (bytes, ..)) in PILLOW.into_iter().enumerate() {
            let cut = decode(&bytes[..bytes.len() / 2], WHITE);
            assert!(matches!(cut, Err(PictureFault::Damaged(_))), "file {file}: {cut:?}");
        }
        assert!(matches!(decode(b"", WHITE), Err(PictureFault::Empty)));
        assert!(matches!(decode(b"<html>", WHITE), Err(PictureFault::Format)));
    }

    #[test]
    fn transparency_shows_the_background() {
        assert_eq!(over(&[200, 100, 0, 0], [1, 2, 3]), [1, 2, 3]);
        assert_eq!(over(&[200, 100, 0, 255], [1, 2, 3]), [200, 100, 0]);
        assert_eq!(over(&[200, 100, 0, 51], [0, 0, 255]), [40, 20, 204]);
    }
}
