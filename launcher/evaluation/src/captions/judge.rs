//! The judge: a classifier that tells from a varied picture which of the gallery's it is of.

use std::path::Path;

use miette::Result;
use ndarray::Array2;
use serde_json::{Value, json};
use twinflow_array::{HostArray, bits::absorb};
use twinflow_data::Permutation;
use twinflow_models::classifier::ClassifierConfig;
use twinflow_runtime::{console::OrReport, devices::Devices};
use twinflow_training::classifier::{ClassifierBatch, ClassifierTraining};

use super::{
    gallery::{Gallery, rows},
    nearest::Points,
    variants::Variation,
};
use crate::classifier::{Lessons, TrainedClassifier};

/// Seeds of the variants that the judge learns from, and of those that judge it and show what good samples would get.
const LEARNT: u64 = 0;
const FRESH: u64 = 1;

/// A trained judge and what it sees in the gallery.
pub struct Judge {
    classifier: TrainedClassifier,
    gallery: Gallery,
    features: Array2<f64>,
    by_features: Points,
    by_pixels: Points,
}

impl Judge {
    /// The judge of a gallery: the one in `file` if it learnt from these pictures in this way, else a new one, which is
    /// written there. `checksums` tell pictures from others.
    ///
    /// # Errors
    /// Pictures that the classifier cannot take; what compiling and running met.
    pub fn of(gallery: Gallery, checksums: &[Option<u32>], file: &Path, devices: &Devices) -> Result<Self> {
        let lessons = Variants { gallery: &gallery, checksums };
        let classifier = TrainedClassifier::learn(&lessons, (&config(), &training()), file, devices)?;
        let labels = labels(&gallery, 0..gallery.len());
        let features = classifier.examine(gallery.pixels(), &labels)?.features;
        let by_features = Points::new(&features);
        let by_pixels = Points::new(&rows(gallery.pixels(), gallery.len())?);
        Ok(Judge { classifier, gallery, features, by_features, by_pixels })
    }

    /// Steps it was trained for just now; none if it was read from its file.
    pub fn trained(&self) -> Option<u64> {
        self.classifier.trained
    }

    /// The pictures that it knows.
    pub fn gallery(&self) -> &Gallery {
        &self.gallery
    }

    /// Share of new variants, one of each picture, that it recognises.
    ///
    /// # Errors
    /// The plugin's.
    pub fn accuracy(&self) -> Result<f64> {
        let (all, mut pixels) = (0..self.gallery.len(), Vec::with_capacity(self.gallery.pixels().len()));
        all.clone().for_each(|picture| pixels.extend(variant(&self.gallery, picture, absorb(FRESH, picture as u64))));
        Ok(self.classifier.examine(&pixels, &labels(&self.gallery, all))?.accuracy)
    }

    /// Variants of the captions' own pictures in place of samples: what good samples would be.
    pub fn varied(&self, own: &[Vec<usize>], per_caption: usize) -> Vec<f32> {
        let samples = own.iter().flat_map(|own| std::iter::repeat_n(own[0], per_caption)).enumerate();
        let of_sample = |(sample, picture)| variant(&self.gallery, picture, absorb(!FRESH, sample as u64));
        samples.flat_map(of_sample).collect()
    }

    /// Features of `count` pictures.
    pub(super) fn features(&self, pixels: &[f32], count: usize) -> Result<Array2<f64>> {
        Ok(self.classifier.examine(pixels, &vec![0; count])?.features)
    }

    /// Features of the gallery's pictures.
    pub(super) fn of_gallery(&self) -> &Array2<f64> {
        &self.features
    }

    pub(super) fn by_features(&self) -> &Points {
        &self.by_features
    }

    pub(super) fn by_pixels(&self) -> &Points {
        &self.by_pixels
    }
}

/// Of thousands of classes that differ in details.
fn config() -> ClassifierConfig {
    ClassifierConfig { channels: [32, 64], features: 256 }
}

fn training() -> ClassifierTraining {
    ClassifierTraining { dropout: 0.1, epochs: 60, least_steps: 400, ..ClassifierTraining::default() }
}

/// Varied pictures of a gallery, all of them once an epoch.
struct Variants<'a> {
    gallery: &'a Gallery,
    checksums: &'a [Option<u32>],
}

impl Lessons for Variants<'_> {
    fn shape(&self) -> [usize; 3] {
        self.gallery.shape()
    }

    fn classes(&self) -> usize {
        self.gallery.count()
    }

    fn count(&self) -> usize {
        self.gallery.len()
    }

    fn identity(&self) -> Value {
        json!({ "pictures": self.checksums, "count": self.gallery.len(), "variation": Variation::default() })
    }

    fn batch(&self, step: u64, size: usize) -> Result<ClassifierBatch<HostArray>> {
        let (count, [height, width, channels]) = (self.gallery.len() as u64, self.gallery.shape());
        let places = step * size as u64..(step + 1) * size as u64;
        let picture = |place: u64| Permutation::new(count, LEARNT, place / count).apply(place % count) as usize;
        let pictures: Vec<usize> = places.clone().map(picture).collect();
        let of_place = |(place, picture): (u64, &usize)| variant(self.gallery, *picture, absorb(LEARNT, place));
        let pixels: Vec<f32> = places.zip(&pictures).flat_map(of_place).collect();
        Ok(ClassifierBatch {
            images: HostArray::from_slice([size, height, width, channels], &pixels).or_report()?,
            labels: HostArray::from_slice([size], &labels(self.gallery, pictures)).or_report()?,
        })
    }
}

fn variant(gallery: &Gallery, picture: usize, bits: u64) -> impl Iterator<Item = f32> + '_ {
    Variation::default().of(gallery.picture(picture), gallery.shape(), bits)
}

/// Looks of pictures as the classifier's labels.
fn labels(gallery: &Gallery, pictures: impl IntoIterator<Item = usize>) -> Vec<i32> {
    pictures.into_iter().map(|picture| gallery.looks()[picture] as i32).collect()
}
