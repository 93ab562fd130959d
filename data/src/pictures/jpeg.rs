//! JPEG by libjpeg-turbo, the decoder of Pillow and torchvision: other decoders upsample chroma otherwise, which shifts
//! the colours of most files by a level.

use image::RgbImage;
use turbojpeg::{Colorspace, Decompressor, Image, PixelFormat};

use super::fault::{PictureFault, check_size};

/// The RGB pixels of a JPEG. CMYK is taken as Adobe writes it, inverted: `R = C K / 255`, rounded, as in Pillow.
pub(crate) fn decode(bytes: &[u8]) -> Result<RgbImage, PictureFault> {
    let damaged = |error: turbojpeg::Error| PictureFault::Damaged(error.to_string());
    let mut decompressor = Decompressor::new().map_err(damaged)?;
    let header = decompressor.read_header(bytes).map_err(damaged)?;
    let (width, height) = (header.width, header.height);
    check_size(width, height)?;
    let of_inks = matches!(header.colorspace, Colorspace::CMYK | Colorspace::YCCK);
    let (format, size) = if of_inks { (PixelFormat::CMYK, 4) } else { (PixelFormat::RGB, 3) };
    let mut pixels = vec![0; width * height * size];
    let image = Image { pixels: pixels.as_mut_slice(), width, pitch: width * size, height, format };
    decompressor.decompress(bytes, image).map_err(damaged)?;
    if of_inks {
        pixels = pixels.chunks_exact(4).flat_map(|inks| [0, 1, 2].map(|i| product(inks[i], inks[3]))).collect();
    }
    Ok(RgbImage::from_raw(width as u32, height as u32, pixels).expect("three bytes per pixel"))
}

/// `a b / 255`, rounded.
fn product(a: u8, b: u8) -> u8 {
    ((u32::from(a) * u32::from(b) + 127) / 255) as u8
}
