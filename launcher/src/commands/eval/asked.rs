//! Which captions are drawn, and which real pictures have them.

use std::collections::HashMap;

use twinflow_data::Permutation;

/// The captions of several datasets.
#[derive(Debug, Default)]
pub struct Captions {
    /// The pictures of each caption, counted through all datasets.
    own: HashMap<String, Vec<usize>>,
    /// Of each dataset those that none before it has, once each.
    new: Vec<Vec<String>>,
}

/// Captions to draw.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    pub texts: Vec<String>,
    /// The pictures of each; one at least.
    pub own: Vec<Vec<usize>>,
}

impl Captions {
    /// Of datasets whose pictures have several captions each.
    pub fn of<P: IntoIterator<Item = Vec<String>>>(datasets: impl IntoIterator<Item = P>) -> Self {
        let (mut captions, mut picture) = (Captions::default(), 0);
        for pictures in datasets {
            let mut new = Vec::new();
            for texts in pictures {
                texts.into_iter().for_each(|text| new.extend(captions.add(text, picture)));
                picture += 1;
            }
            captions.new.push(new);
        }
        captions
    }

    /// A caption of a picture; it is given back if no picture had it before.
    fn add(&mut self, text: String, picture: usize) -> Option<String> {
        match self.own.get_mut(&text) {
            Some(own) if own.last() == Some(&picture) => None,
            Some(own) => {
                own.push(picture);
                None
            }
            None => {
                self.own.insert(text.clone(), vec![picture]);
                Some(text)
            }
        }
    }

    /// At most `count` captions of a dataset that none before it has, by the seed.
    pub fn draw(&self, dataset: usize, count: usize, seed: u64) -> Asked {
        let new = &self.new[dataset];
        let order = Permutation::new(new.len() as u64, seed, 0);
        let places = (0..order.len().min(count as u64)).map(|place| order.apply(place) as usize);
        let texts: Vec<String> = places.map(|place| new[place].clone()).collect();
        let own = texts.iter().map(|text| self.own[text].clone()).collect();
        Asked { texts, own }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_know_all_their_pictures_and_count_once() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<String>>();
        let training = [texts(&["a dog", "an animal"]), texts(&["a cat", "an animal", "a cat"])];
        let held_out = [texts(&["a cow", "an animal"])];
        let captions = Captions::of([&training[..], &held_out[..]].map(<[_]>::to_vec));
        let mut asked = captions.draw(0, 9, 5);
        let animal = asked.texts.iter().position(|text| text == "an animal").unwrap();
        assert_eq!(asked.own[animal], [0, 1, 2]);
        asked.texts.sort_unstable();
        assert_eq!(asked.texts, ["a cat", "a dog", "an animal"]);
        assert_eq!(captions.draw(1, 9, 5), Asked { texts: texts(&["a cow"]), own: vec![vec![2]] });
        assert_eq!(captions.draw(0, 2, 5).texts.len(), 2);
        assert_eq!(captions.draw(0, 2, 5), captions.draw(0, 2, 5));
    }
}
