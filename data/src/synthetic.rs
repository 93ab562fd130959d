//! Noise in the shape of a dataset, for benches.

use twinflow_array::{DType, HostArray, bits};

use crate::{
    DataError, Field, Source, TextShape, Visit,
    counter_bits::{self, Stream},
    source::{image_fields, pixels_and_labels},
};

/// Endless samples of uniform noise in `[-1, 1)` with uniform labels, at the cost of a few operations per element: what
/// is measured with it is not the data's way from disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synthetic {
    sample_shape: [usize; 3],
    classes: usize,
    text: TextShape,
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
        Ok(Synthetic { sample_shape, classes, text: TextShape::default(), seed })
    }

    /// With noise in place of prompts, which are tokens where there is a vocabulary and embeddings else; each prompt has a
    /// length of its own, at least one token.
    ///
    /// # Errors
    /// [`DataError::Zero`] for embeddings of width 0.
    pub fn with_text(self, text: TextShape) -> Result<Self, DataError> {
        if text.tokens > 0 && text.vocabulary == 0 && text.width == 0 {
            return Err(DataError::Zero { what: "text width" });
        }
        Ok(Synthetic { text, ..self })
    }

    fn noise(&self, stream: Stream, index: u64, out: &mut [f32]) {
        let key = counter_bits::bits(self.seed, stream, index);
        for (element, value) in out.iter_mut().enumerate() {
            // 24 bits are exact in f32, so the upper end stays open.
            let bits = bits::absorb(key, element as u64) >> 40;
            *value = bits as f32 / (1 << 23) as f32 - 1.0;
        }
    }

    fn tokens(&self, index: u64, out: &mut [i32]) {
        let key = counter_bits::bits(self.seed, Stream::SyntheticText, index);
        for (place, token) in out.iter_mut().enumerate() {
            *token = bits::below(bits::absorb(key, place as u64), self.text.vocabulary as u64) as i32;
        }
    }

    fn read_text(&self, indices: &[u64], fields: &mut [HostArray]) {
        let TextShape { tokens, vocabulary, width, pooled } = self.text;
        let (of_tokens, of_prompts) = fields.split_at_mut(if tokens > 0 { 2 } else { 0 });
        if let [text, mask] = of_tokens {
            if vocabulary > 0 {
                let rows = integers(text).chunks_exact_mut(tokens);
                indices.iter().zip(rows).for_each(|(&index, row)| self.tokens(index, row));
            } else {
                let rows = floats(text).chunks_exact_mut(tokens * width);
                indices.iter().zip(rows).for_each(|(&index, row)| self.noise(Stream::SyntheticText, index, row));
            }
            for (&index, mask) in indices.iter().zip(integers(mask).chunks_exact_mut(tokens)) {
                let bits = counter_bits::bits(self.seed, Stream::SyntheticLength, index);
                mask[..=bits::below(bits, tokens as u64) as usize].fill(1);
            }
        }
        if let [array] = of_prompts {
            let rows = floats(array).chunks_exact_mut(pooled);
            indices.iter().zip(rows).for_each(|(&index, row)| self.noise(Stream::SyntheticPooledText, index, row));
        }
    }
}

impl Source for Synthetic {
    fn fields(&self) -> Vec<Field> {
        [image_fields(DType::F32, self.sample_shape), self.text.fields()].concat()
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn samples(&self) -> Option<u64> {
        None
    }

    fn vocabulary(&self) -> usize {
        self.text.vocabulary
    }

    fn read(&self, visits: &[Visit], fields: &mut [HostArray]) -> Result<(), DataError> {
        let indices: Vec<u64> = visits.iter().map(|visit| visit.index).collect();
        let (labelled, text) = fields.split_at_mut(2);
        let (images, labels) = pixels_and_labels(labelled);
        let pixels = self.sample_shape.iter().product();
        for ((&index, image), label) in indices.iter().zip(images.chunks_exact_mut(pixels)).zip(labels) {
            self.noise(Stream::SyntheticImage, index, image);
            let bits = counter_bits::bits(self.seed, Stream::SyntheticLabel, index);
            *label = bits::below(bits, self.classes as u64) as i32;
        }
        self.read_text(&indices, text);
        Ok(())
    }
}

fn integers(array: &mut HostArray) -> &mut [i32] {
    bytemuck::cast_slice_mut(array.bytes_mut())
}

fn floats(array: &mut HostArray) -> &mut [f32] {
    bytemuck::cast_slice_mut(array.bytes_mut())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{IMAGES, LABELS, POOLED_TEXT, TEXT, TEXT_MASK, TOKENS};

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
    #[test]
    fn prompts_are_noise_of_their_own_lengths() {
        let text = TextShape { tokens: 5, width: 3, pooled: 2, ..TextShape::default() };
        let source = Synthetic::new([1, 1, 2], 4, 5).unwrap().with_text(text).unwrap();
        let fields = source.gather(&(0..100).collect::<Vec<_>>()).unwrap();
        let masks = fields[TEXT_MASK].as_slice::<i32>().unwrap();
        let lengths: Vec<i32> = masks.chunks_exact(5).map(|mask| mask.iter().sum()).collect();
        assert!((1..=5).all(|length| lengths.contains(&length)), "{lengths:?}");
        assert!(masks.chunks_exact(5).all(|mask| mask.is_sorted_by(|a, b| a >= b)), "tokens come first, then padding");
        let one = source.gather(&[42]).unwrap();
        for (name, size) in [(TEXT, 15), (POOLED_TEXT, 2)] {
            let all = fields[name].as_slice::<f32>().unwrap();
            assert_eq!(one[name].as_slice::<f32>().unwrap(), &all[42 * size..43 * size], "{name}");
            assert!(all.iter().all(|value| (-1.0..1.0).contains(value)), "{name}");
        }
        let pooled = TextShape { tokens: 0, ..text };
        let source = Synthetic::new([1, 1, 2], 4, 5).unwrap().with_text(pooled).unwrap();
        assert_eq!(source.gather(&[42]).unwrap()[POOLED_TEXT], one[POOLED_TEXT]);
        let error = Synthetic::new([1, 1, 2], 4, 5).unwrap().with_text(TextShape { width: 0, ..text }).unwrap_err();
        assert_eq!(error.to_string(), "text width is 0; it must be at least 1");
    }

    #[test]
    fn tokens_are_numbers_of_the_vocabulary() {
        let text = TextShape { tokens: 5, vocabulary: 7, ..TextShape::default() };
        let source = Synthetic::new([1, 1, 2], 4, 5).unwrap().with_text(text).unwrap();
        assert_eq!(source.text_shape(), text);
        let fields = source.gather(&(0..100).collect::<Vec<_>>()).unwrap();
        let tokens = fields[TOKENS].as_slice::<i32>().unwrap();
        assert!((0..7).all(|token| tokens.contains(&token)) && tokens.iter().all(|token| (0..7).contains(token)));
        assert!(!fields.contains_key(TEXT) && fields[TEXT_MASK].shape()[..] == [100, 5]);
        assert_eq!(source.gather(&[42]).unwrap()[TOKENS].as_slice::<i32>().unwrap(), &tokens[210..215]);
    }
}
