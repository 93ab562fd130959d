//! Noise in the shape of a dataset, for benches.

use twinflow_array::{DType, HostArray, bits};

use crate::{
    DataError, Field, Source,
    counter_bits::{self, Stream},
    source::{image_fields, pixels_and_labels},
};

/// Endless samples of uniform noise in `[-1, 1)` with uniform labels, at the cost of a few operations per element: what
/// is measured with it is not the data's way from disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synthetic {
    sample_shape: [usize; 3],
    classes: usize,
    seed: u64,
}

impl Synthetic {
    /// Noise of the given height, width and channels.
    ///
    /// # Errors
    /// [`DataError::Zero`] for a size of 0.
    pub fn new(sample_shape: [usize; 3], classes: usize, seed: u64) -> Result<Self, DataError> {
        let [height, width, channels] = sample_shape;
        for (what, size) in [("height", height), ("width", width), ("channels", channels), ("classes", classes)] {
            if size == 0 {
                return Err(DataError::Zero { what });
            }
        }
        Ok(Synthetic { sample_shape, classes, seed })
    }
}

impl Source for Synthetic {
    fn fields(&self) -> Vec<Field> {
        image_fields(DType::F32, self.sample_shape)
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn samples(&self) -> Option<u64> {
        None
    }

    fn read(&self, indices: &[u64], fields: &mut [HostArray]) -> Result<(), DataError> {
        let (images, labels) = pixels_and_labels(fields);
        let pixels = self.sample_shape.iter().product();
        for ((&index, image), label) in indices.iter().zip(images.chunks_exact_mut(pixels)).zip(labels) {
            let key = counter_bits::bits(self.seed, Stream::SyntheticImage, index);
            for (element, pixel) in image.iter_mut().enumerate() {
                // 24 bits are exact in f32, so the upper end stays open.
                let bits = bits::absorb(key, element as u64) >> 40;
                *pixel = bits as f32 / (1 << 23) as f32 - 1.0;
            }
            let bits = counter_bits::bits(self.seed, Stream::SyntheticLabel, index);
            *label = bits::below(bits, self.classes as u64) as i32;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{IMAGES, LABELS};

    #[test]
    fn noise_is_uniform_and_pure_in_the_index() {
        let source = Synthetic::new([8, 8, 3], 4, 5).unwrap();
        let fields = source.gather(&(0..100).collect::<Vec<_>>()).unwrap();
        let (images, labels) = (fields[IMAGES].as_slice::<f32>().unwrap(), fields[LABELS].as_slice::<i32>().unwrap());
        assert!(images.iter().all(|pixel| (-1.0..1.0).contains(pixel)));
        let mean = images.iter().sum::<f32>() / images.len() as f32;
        // Standard error of the mean of 19,200 uniform values: 0.577 / 138.6.
        assert!(mean.abs() < 5.0 * 0.0042, "mean {mean}");
        for class in 0..4 {
            assert!(labels.iter().filter(|label| **label == class).count() > 8);
        }
        let one = source.gather(&[42]).unwrap();
        assert_eq!(one[IMAGES].as_slice::<f32>().unwrap(), &images[42 * 192..43 * 192]);
        assert_eq!(one[LABELS].as_slice::<i32>().unwrap(), [labels[42]]);
    }
}
