//! Finished samples on disk: a picture, or an HDF5 file.

use std::path::{Path, PathBuf};

use miette::{Diagnostic, Result};
use twinflow_array::HostArray;
use twinflow_data::{Metadata, write_dataset};

use crate::{
    pictures::{Picture, PictureError, grid, points, to_bytes},
    said::Said,
};

/// Samples of one kind, in the order of their labels.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleSet {
    /// f32 in about `[-1, 1]`, `[n, height, width, channels]`.
    pub values: Vec<f32>,
    /// Class of each.
    pub labels: Vec<i32>,
    /// Height, width and channels; points in the plane are `[1, 1, 2]`.
    pub shape: [usize; 3],
    /// Samples per label.
    pub per_label: usize,
}

/// Kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleFormat {
    /// A picture.
    Png,
    /// Arrays.
    Hdf5,
}

/// A file name that tells no kind.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("--out {} must end in .png (a picture) or .h5 (arrays `images` and `labels`)", path.display())]
pub struct UnknownFormat {
    path: PathBuf,
}

impl SampleFormat {
    /// The kind that a file name asks for.
    ///
    /// # Errors
    /// [`UnknownFormat`].
    pub fn of(path: &Path) -> Result<Self, UnknownFormat> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("png") => Ok(SampleFormat::Png),
            Some("h5" | "hdf5") => Ok(SampleFormat::Hdf5),
            _ => Err(UnknownFormat { path: path.to_owned() }),
        }
    }
}

/// A row per label, or a plot of points.
///
/// # Errors
/// [`PictureError::Draw`].
pub fn picture(samples: &SampleSet, title: &str) -> Result<Picture, PictureError> {
    if are_points(samples) {
        points(&samples.values, &samples.labels, title)
    } else {
        grid(&to_bytes(&samples.values), samples.shape, samples.per_label)
    }
}

/// Writes a dataset file, which `data info` and training read too: `images` u8 `[n, height, width, channels]` (f32 for
/// points) and `labels`.
///
/// # Errors
/// The file cannot be written.
pub fn write_hdf5(samples: &SampleSet, path: &Path, made_by: &str, classes: usize) -> Result<()> {
    let [height, width, channels] = samples.shape;
    let shape = [samples.labels.len(), height, width, channels];
    let images = match are_points(samples) {
        true => HostArray::from_slice(shape, &samples.values).said()?,
        false => HostArray::from_slice(shape, &to_bytes(&samples.values)).said()?,
    };
    let (name, source) = ("samples".to_owned(), made_by.to_owned());
    let metadata = Metadata { name, source, classes, class_names: Vec::new() };
    write_dataset(path, &images, &samples.labels, &metadata).said()
}

/// Whether these are points in the plane, not pictures.
fn are_points(samples: &SampleSet) -> bool {
    samples.shape == [1, 1, 2]
}

/// Makes the folder that a file is to be in.
///
/// # Errors
/// The system refuses.
pub fn make_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => std::fs::create_dir_all(folder).said(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hdf5_files_hold_bytes_in_the_samples_own_shape() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples.h5");
        let values = vec![-1.0, 0.0, 1.0, 3.0];
        let set = SampleSet { values, labels: vec![4, 7], shape: [1, 2, 1], per_label: 1 };
        write_hdf5(&set, &path, "a test", 10).unwrap();
        let file = hdf5_metno::File::open(&path).unwrap();
        let images = file.dataset("images").unwrap();
        assert_eq!(images.shape(), [2, 1, 2, 1]);
        assert_eq!(images.read_raw::<u8>().unwrap(), [0, 128, 255, 255]);
        assert_eq!(file.dataset("labels").unwrap().read_raw::<i32>().unwrap(), [4, 7]);
    }

    #[test]
    fn only_known_endings_are_taken() {
        assert_eq!(SampleFormat::of(Path::new("a/b.png")).unwrap(), SampleFormat::Png);
        let error = SampleFormat::of(Path::new("grid.jpg")).unwrap_err().to_string();
        assert!(error.contains("grid.jpg must end in .png"), "{error}");
    }
}
