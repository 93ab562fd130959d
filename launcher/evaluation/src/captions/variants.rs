//! Pictures that still are the same ones to the eye: moved, recoloured and noised a little.

use serde::Serialize;
use twinflow_array::bits::{absorb, below, unit};

/// How much a variant may differ.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Variation {
    /// Pixels up, down, left or right, at most.
    pub shift: usize,
    /// Greatest change of a value by noise, which is uniform.
    pub noise: f64,
    /// Greatest change of a channel's scale, and of its mean.
    pub colour: f64,
}

impl Default for Variation {
    fn default() -> Self {
        Variation { shift: 2, noise: 0.3, colour: 0.15 }
    }
}

/// What is drawn of a variant's bits.
enum Draw {
    Rows,
    Columns,
    Noise,
    Pixels,
    Channels,
}

impl Variation {
    /// The variant of a picture that 64 random bits stand for, in [-1, 1]. Pixels that come in from outside are as those
    /// at the edge.
    pub fn of<'a>(
        &self,
        picture: &'a [f32],
        [height, width, channels]: [usize; 3],
        bits: u64,
    ) -> impl Iterator<Item = f32> + use<'a> {
        let word = move |draw: Draw, index: usize| absorb(absorb(bits, draw as u64), index as u64);
        let steps = 2 * self.shift as u64 + 1;
        let [down, right] = [Draw::Rows, Draw::Columns].map(|draw| below(word(draw, 0), steps) as usize);
        let (shift, noise) = (self.shift, self.noise * unit(word(Draw::Noise, 0)));
        let change = |index| self.colour * (2.0 * unit(word(Draw::Channels, index)) - 1.0);
        let colours: Vec<[f64; 2]> = (0..channels).map(|c| [1.0 + change(2 * c), change(2 * c + 1)]).collect();
        (0..height * width * channels).map(move |place| {
            let (pixel, channel) = (place / channels, place % channels);
            let row = (pixel / width + down).saturating_sub(shift).min(height - 1);
            let column = (pixel % width + right).saturating_sub(shift).min(width - 1);
            let value = f64::from(picture[(row * width + column) * channels + channel]);
            let [scale, offset] = colours[channel];
            let change = noise * (2.0 * unit(word(Draw::Pixels, place)) - 1.0);
            (scale * value + offset + change).clamp(-1.0, 1.0) as f32
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: [f32; 6] = [-0.5, -0.3, -0.1, 0.1, 0.3, 0.5];

    fn variants(variation: Variation) -> Vec<Vec<f32>> {
        (0..200).map(|bits| variation.of(&PICTURE, [2, 3, 1], bits).collect()).collect()
    }

    #[test]
    fn no_variation_is_the_picture_itself() {
        let still = Variation { shift: 0, noise: 0.0, colour: 0.0 };
        assert!(variants(still).iter().all(|variant| variant == &PICTURE));
    }

    #[test]
    fn shifts_go_each_way_and_repeat_the_edge() {
        let moved = variants(Variation { shift: 1, noise: 0.0, colour: 0.0 });
        for wanted in [
            PICTURE,
            [-0.3, -0.1, -0.1, 0.3, 0.5, 0.5],
            [-0.5, -0.5, -0.3, 0.1, 0.1, 0.3],
            [0.1, 0.3, 0.5, 0.1, 0.3, 0.5],
            [-0.5, -0.3, -0.1, -0.5, -0.3, -0.1],
        ] {
            assert!(moved.iter().any(|variant| variant == &wanted), "{wanted:?}");
        }
    }

    #[test]
    fn colours_and_noise_stay_small_and_differ() {
        let noised = variants(Variation { shift: 0, noise: 0.05, colour: 0.1 });
        let change = |variant: &Vec<f32>| variant.iter().zip(PICTURE).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(noised.iter().all(|variant| (1e-4..0.4).contains(&change(variant))));
        assert_ne!(noised[0], noised[1]);
    }
}
