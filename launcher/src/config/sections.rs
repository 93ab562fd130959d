//! The launcher's own sections: `[run]`, `[data]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use twinflow_data::{TextShape, ToyKind};

/// `[run]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// Name of the run; its folder is runs/NAME, or runs/NAME-2, ... if that is taken.
    pub name: String,
    /// The run folder itself; empty: by name.
    pub dir: PathBuf,
    /// Seed of the first weights, the order of samples and every random draw.
    pub seed: u32,
}

impl Default for RunConfig {
    fn default() -> Self {
        RunConfig { name: "run".into(), dir: PathBuf::new(), seed: 0 }
    }
}

/// `[data]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// Where samples come from.
    pub kind: DataKind,
    /// HDF5 file, for `kind = "hdf5"`.
    pub path: PathBuf,
    /// Which points, for `kind = "toy"`.
    pub toy: ToyKind,
    /// Picture height in pixels; given for `kind = "synthetic"`, else the dataset's own.
    pub height: usize,
    /// Picture width in pixels; as above.
    pub width: usize,
    /// 1 (gray), 3 (RGB), or those of latents; as above.
    pub channels: usize,
    /// Number of classes; as above.
    pub classes: usize,
    /// Tokens of a prompt, padding included; 0: no prompts; as above.
    pub text_tokens: usize,
    /// Numbers that a token may have, where prompts come as tokens; 0: they do not; as above.
    pub text_vocabulary: usize,
    /// Numbers of a token's embedding, where prompts come as embeddings; as above.
    pub text_width: usize,
    /// Numbers of the embedding of the whole prompt; 0: none; as above.
    pub pooled_text_width: usize,
    /// Mirror pictures left to right at random.
    pub flip: bool,
    /// Check the file's checksums before training.
    pub verify: bool,
}

impl Default for DataConfig {
    fn default() -> Self {
        DataConfig {
            kind: DataKind::Hdf5,
            path: "datasets/fashion-mnist.h5".into(),
            toy: ToyKind::Moons,
            height: 32,
            width: 32,
            channels: 3,
            classes: 10,
            text_tokens: 0,
            text_vocabulary: 0,
            text_width: 0,
            pooled_text_width: 0,
            flip: false,
            verify: true,
        }
    }
}

impl DataConfig {
    /// Height, width and channels of a sample.
    pub fn shape(&self) -> [usize; 3] {
        [self.height, self.width, self.channels]
    }

    /// Sizes of the prompts' embeddings.
    pub fn text_shape(&self) -> TextShape {
        TextShape {
            tokens: self.text_tokens,
            vocabulary: self.text_vocabulary,
            width: self.text_width,
            pooled: self.pooled_text_width,
        }
    }
}

/// Sources of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataKind {
    /// An HDF5 file (docs/data-format.md), as `data import` writes it.
    Hdf5,
    /// Points in the plane, made on the spot.
    Toy,
    /// Random pictures of any size, to measure speed.
    Synthetic,
}
