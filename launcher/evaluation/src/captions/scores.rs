//! What samples of captions are worth.

use miette::Result;
use ndarray::{Array2, ArrayView2, Axis, s};
use serde::Serialize;

use super::{gallery::rows, judge::Judge};
use crate::{Gaussian, diversity::mean_distance, frechet_distance};

/// Pictures made of captions, caption by caption.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// In [-1, 1].
    pub pixels: Vec<f32>,
    /// For each caption, the gallery's pictures that have it; one at least.
    pub own: Vec<Vec<usize>>,
    /// Samples of each caption.
    pub per_caption: usize,
}

/// The numbers of one set of samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CaptionScores {
    /// Share of the samples to which, of all real pictures, one of the caption's own is nearest in the judge's features.
    pub retrieval: f64,
    /// The same by pixels.
    pub pixel_retrieval: f64,
    /// Frechet distance in the judge's features to the captions' own pictures, each caption's first.
    pub frechet_distance: f64,
    /// Mean distance in the judge's features of two samples of a caption; none with one sample of each.
    pub spread: Option<f64>,
}

impl Drawn {
    /// The numbers of these samples.
    ///
    /// # Errors
    /// The plugin's; samples that are not finite.
    pub fn scores(&self, judge: &Judge) -> Result<CaptionScores> {
        let features = judge.features(&self.pixels, self.len())?;
        let looks = judge.gallery().looks();
        let first = |own: &Vec<usize>| std::iter::repeat_n(own[0], self.per_caption);
        let own: Vec<usize> = self.own.iter().flat_map(first).collect();
        let own = judge.of_gallery().select(Axis(0), &own);
        let by_features = judge.by_features().nearest(features.view());
        let by_pixels = judge.by_pixels().nearest(rows(&self.pixels, self.len())?.view());
        Ok(CaptionScores {
            retrieval: self.share(looks, &by_features),
            pixel_retrieval: self.share(looks, &by_pixels),
            frechet_distance: frechet_distance(&Gaussian::of(features.view()), &Gaussian::of(own.view()))?,
            spread: self.spread(&features),
        })
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.own.len() * self.per_caption
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Share of the samples whose nearest picture looks like one of the caption's own.
    fn share(&self, looks: &[usize], nearest: &[usize]) -> f64 {
        let is_own = |(sample, found): (usize, &usize)| {
            self.own[sample / self.per_caption].iter().any(|own| looks[*own] == looks[*found])
        };
        let own = nearest.iter().enumerate().filter(|found| is_own(*found)).count();
        own as f64 / nearest.len() as f64
    }

    /// Mean distance of two samples of a caption, averaged over the captions.
    fn spread(&self, features: &Array2<f64>) -> Option<f64> {
        let of_caption = |caption: usize| -> ArrayView2<'_, f64> {
            features.slice(s![caption * self.per_caption..(caption + 1) * self.per_caption, ..])
        };
        let spreads = (0..self.own.len()).map(|caption| mean_distance(&of_caption(caption).to_owned()));
        let spreads: Vec<f64> = spreads.collect::<Option<_>>()?;
        (!spreads.is_empty()).then(|| spreads.iter().sum::<f64>() / spreads.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn drawn() -> Drawn {
        Drawn { pixels: vec![0.0; 4], own: vec![vec![0, 3], vec![1]], per_caption: 2 }
    }

    #[test]
    fn pictures_that_look_like_a_captions_own_count() {
        // Picture 2 looks like picture 0.
        let looks = [0, 1, 0, 2];
        assert_eq!(drawn().share(&looks, &[0, 3, 1, 1]), 1.0);
        assert_eq!(drawn().share(&looks, &[2, 1, 1, 0]), 0.5);
    }

    #[test]
    fn spread_is_within_captions_only() {
        let features = array![[0.0, 0.0], [3.0, 4.0], [100.0, 0.0], [101.0, 0.0]];
        assert!((drawn().spread(&features).unwrap() - 3.0).abs() < 1e-9);
        assert_eq!(Drawn { per_caption: 1, ..drawn() }.spread(&features), None);
    }
}
