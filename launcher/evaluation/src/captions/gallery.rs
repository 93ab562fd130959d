//! The real pictures that samples are compared with.

use std::collections::HashMap;

use miette::{Result, miette};
use ndarray::{Array2, ArrayView2};
use twinflow_runtime::console::OrReport;

/// Real pictures, of which some may look the same.
pub struct Gallery {
    pixels: Vec<f32>,
    shape: [usize; 3],
    looks: Vec<usize>,
    count: usize,
}

impl Gallery {
    /// Pictures of shape `[height, width, channels]`; equal ones are one look.
    ///
    /// # Errors
    /// Fewer than two looks: there is nothing to tell apart.
    pub fn new(pixels: Vec<f32>, shape: [usize; 3]) -> Result<Self> {
        let mut known: HashMap<Vec<u32>, usize> = HashMap::new();
        let of = |picture: &[f32]| {
            let next = known.len();
            *known.entry(picture.iter().map(|value| value.to_bits()).collect()).or_insert(next)
        };
        let looks: Vec<usize> = pixels.chunks_exact(shape.iter().product()).map(of).collect();
        match known.len() {
            0 | 1 => Err(miette!("the dataset's {} pictures all look the same: none can be told apart", looks.len())),
            count => Ok(Gallery { pixels, shape, looks, count }),
        }
    }

    /// Height, width and channels.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.looks.len()
    }

    /// Never: there are two at least.
    pub fn is_empty(&self) -> bool {
        self.looks.is_empty()
    }

    /// Which look each picture has, below [`Gallery::count`].
    pub fn looks(&self) -> &[usize] {
        &self.looks
    }

    /// Number of different looks.
    pub fn count(&self) -> usize {
        self.count
    }

    /// All pictures, one after the other.
    pub fn pixels(&self) -> &[f32] {
        &self.pixels
    }

    /// A picture's values.
    pub fn picture(&self, index: usize) -> &[f32] {
        let size = self.shape.iter().product();
        &self.pixels[index * size..][..size]
    }
}

/// Pictures as rows of numbers.
///
/// # Errors
/// Values that are no whole number of rows.
pub(super) fn rows(pixels: &[f32], count: usize) -> Result<Array2<f64>> {
    let view = ArrayView2::from_shape((count, pixels.len() / count.max(1)), pixels).or_report()?;
    Ok(view.mapv(f64::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_pictures_are_one_look() {
        let gallery = Gallery::new(vec![0.0, 1.0, 0.5, 0.5, 0.0, 1.0], [1, 2, 1]).unwrap();
        assert_eq!((gallery.len(), gallery.count(), gallery.looks()), (3, 2, &[0, 1, 0][..]));
        assert_eq!(gallery.picture(1), [0.5, 0.5]);
        let refused = Gallery::new(vec![0.5; 4], [1, 2, 1]).err().unwrap().to_string();
        assert_eq!(refused, "the dataset's 2 pictures all look the same: none can be told apart");
    }
}
