//! Pictures with a text below each.

use std::error::Error;

use image::{Rgb, RgbImage, imageops};
use plotters::prelude::*;

use super::{Picture, PictureError, register_font};

/// A column is at least so wide: fewer pixels hold no words. Smaller pictures are enlarged to it by a whole factor.
const LEAST_WIDTH: u32 = 160;
/// Pixels around pictures and texts.
const GAP: u32 = 8;
const FONT: (&str, u32) = ("sans-serif", 13);
const LINE_HEIGHT: u32 = 16;
/// Lines below a picture; what does not fit is cut.
const MOST_LINES: usize = 4;

/// Pictures `[n, height, width, channels]` with `columns` per row and the text of each below it. One channel is gray,
/// three are RGB; of other numbers the first is shown. Texts are wrapped, and cut after a few lines; a picture without
/// one has none.
///
/// # Errors
/// [`PictureError`].
pub fn captioned<S: AsRef<str>>(
    bytes: &[u8],
    shape @ [height, width, channels]: [usize; 3],
    captions: &[S],
    columns: usize,
) -> Result<Picture, PictureError> {
    register_font();
    let factor = LEAST_WIDTH.div_ceil(width.max(1) as u32);
    let (width, height) = (factor * width as u32, factor * height as u32);
    let fits = |line: &str| line_width(line).is_ok_and(|line| line <= width);
    let texts: Vec<_> = captions.iter().map(|text| wrap(text.as_ref(), fits)).collect();
    let pictures = bytes.chunks_exact(shape.iter().product::<usize>().max(1));
    let (columns, lines) = (columns.max(1), texts.iter().map(Vec::len).max().unwrap_or(0) as u32);
    let rows = pictures.len().div_ceil(columns) as u32;
    let (cell_width, cell_height) = (width + GAP, height + 2 * GAP + lines * LINE_HEIGHT);
    let mut page = RgbImage::from_pixel(columns as u32 * cell_width + GAP, rows * cell_height + GAP, Rgb([255; 3]));
    let place = |i: usize| (GAP + (i % columns) as u32 * cell_width, GAP + (i / columns) as u32 * cell_height);
    for (i, picture) in pictures.enumerate() {
        let (x, y) = place(i);
        let pixels: Vec<[u8; 3]> = picture.chunks_exact(channels).map(rgb).collect();
        let small = RgbImage::from_raw(shape[1] as u32, shape[0] as u32, pixels.concat());
        let small = small.ok_or_else(|| PictureError::draw("it has no pixels"))?;
        let large = imageops::resize(&small, width, height, imageops::FilterType::Nearest);
        imageops::replace(&mut page, &large, i64::from(x), i64::from(y));
    }
    Picture::plotted_over(page, |canvas| {
        for (i, text) in texts.iter().enumerate() {
            for (line, words) in text.iter().enumerate() {
                let (x, y) = place(i);
                let y = y + height + GAP / 2 + line as u32 * LINE_HEIGHT;
                canvas.draw_text(words, &FONT.into_text_style(canvas), (x as i32, y as i32))?;
            }
        }
        Ok(())
    })
}

fn rgb(pixel: &[u8]) -> [u8; 3] {
    match *pixel {
        [red, green, blue] => [red, green, blue],
        _ => [pixel[0]; 3],
    }
}

fn line_width(line: &str) -> Result<u32, Box<dyn Error>> {
    Ok(FONT.into_font().box_size(line)?.0)
}

/// A text in lines that fit, between words where there is a place. Of more than [`MOST_LINES`] the rest is an ellipsis.
fn wrap(text: &str, fits: impl Fn(&str) -> bool) -> Vec<String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (mut lines, mut rest) = (Vec::new(), text.as_str());
    while !rest.is_empty() {
        let end = line_end(rest, &fits);
        if end < rest.len() && lines.len() + 1 == MOST_LINES {
            let cut = longest_start(rest, |start| fits(&format!("{}…", start.trim_end())));
            lines.push(format!("{}…", rest[..cut].trim_end()));
            break;
        }
        lines.push(rest[..end].to_owned());
        rest = rest[end..].trim_start();
    }
    lines
}

/// Where the first line of a text ends: after a word, or inside of one that no line holds.
fn line_end(text: &str, fits: impl Fn(&str) -> bool) -> usize {
    let longest = longest_start(text, fits);
    match text[..longest].rfind(' ') {
        Some(space) if longest < text.len() && !text[longest..].starts_with(' ') => space,
        _ => longest,
    }
}

/// The length of the longest start that fits, one character at least.
fn longest_start(text: &str, fits: impl Fn(&str) -> bool) -> usize {
    let mut ends = text.char_indices().map(|(start, character)| start + character.len_utf8());
    let first = ends.next().unwrap_or(0);
    ends.take_while(|end| fits(&text[..*end])).last().unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(text: &str) -> Vec<String> {
        wrap(text, |line| line.chars().count() <= 6)
    }

    #[test]
    fn texts_break_between_words_and_end_in_an_ellipsis() {
        assert_eq!(wrapped(" a  red\nheart "), ["a red", "heart"]);
        assert_eq!(wrapped("ab cd ef"), ["ab cd", "ef"]);
        assert_eq!(wrapped("1 2 3 4 5 6 7 8 9 a b c"), ["1 2 3", "4 5 6", "7 8 9", "a b c"]);
        assert_eq!(wrapped("1 2 3 4 5 6 7 8 9 a b c d"), ["1 2 3", "4 5 6", "7 8 9", "a b c…"]);
        assert_eq!(wrapped("Donaudampfschiff"), ["Donaud", "ampfsc", "hiff"]);
        assert_eq!(wrapped("äöü猫äöü猫"), ["äöü猫äö", "ü猫"]);
        assert!(wrapped(" \n").is_empty());
        assert_eq!(wrap("ab", |_| false), ["a", "b"], "a page too narrow for a letter still ends");
    }

    #[test]
    fn pages_have_the_pictures_in_order_and_texts_that_stay_below_them() {
        let long = "a sleepy cat that lies on a red sofa beside the window ".repeat(9);
        let page = captioned(&[40, 80, 120], [1, 1, 1], &[long.as_str(), "", "猫"], 2).unwrap();
        let page = image::load_from_memory(&page.png).unwrap().into_rgb8();
        let (cell_width, cell_height) = (LEAST_WIDTH + GAP, LEAST_WIDTH + 2 * GAP + MOST_LINES as u32 * LINE_HEIGHT);
        assert_eq!(page.dimensions(), (2 * cell_width + GAP, 2 * cell_height + GAP));
        let at = |column: u32, row: u32| page.get_pixel(GAP + column * cell_width, GAP + row * cell_height).0[0];
        assert_eq!([at(0, 0), at(1, 0), at(0, 1), at(1, 1)], [40, 80, 120, 255]);
        let is_ink = |x: u32, y: u32| page.get_pixel(x, y).0[0] < 128;
        let texts = GAP + LEAST_WIDTH..cell_height;
        assert!(texts.clone().any(|y| (GAP..cell_width).any(|x| is_ink(x, y))), "the first has a text");
        assert!(!texts.clone().any(|y| (cell_width..2 * cell_width).any(|x| is_ink(x, y))), "which ends at its column");
        assert!(captioned::<&str>(&[1, 2, 3], [1, 1, 3], &[], 4).is_ok());
    }
}
