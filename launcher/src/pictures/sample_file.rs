//! Finished samples on disk: a picture, or an HDF5 file.

use std::path::{Path, PathBuf};

use miette::{Diagnostic, Result};
use twinflow_array::HostArray;
use twinflow_data::{DatasetMetadata, write_dataset};
use twinflow_files::folder_of;
use twinflow_runtime::{console::OrReport, sampler::SampleSet};

use super::{Picture, PictureError, grid, points, to_bytes};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleFormat {
    Png,
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
/// [`PictureError`].
pub fn picture(samples: &SampleSet, title: &str) -> Result<Picture, PictureError> {
    if samples.are_points() {
        points(&samples.values, &samples.labels, title)
    } else {
        grid(&to_bytes(&samples.values), samples.shape, samples.per_subject)
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
    let images = match samples.are_points() {
        true => HostArray::from_slice(shape, &samples.values).or_report()?,
        false => HostArray::from_slice(shape, &to_bytes(&samples.values)).or_report()?,
    };
    // Samples of data without classes are of one.
    let metadata = DatasetMetadata::new("samples", made_by, classes.max(1));
    write_dataset(path, &images, &samples.labels, &metadata).or_report()
}

/// Makes the folder that a file is to be in.
///
/// # Errors
/// The system refuses.
pub fn make_parent(path: &Path) -> Result<()> {
    std::fs::create_dir_all(folder_of(path)).or_report()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_endings_are_taken() {
        assert_eq!(SampleFormat::of(Path::new("a/b.png")).unwrap(), SampleFormat::Png);
        let error = SampleFormat::of(Path::new("grid.jpg")).unwrap_err().to_string();
        assert!(error.contains("grid.jpg must end in .png"), "{error}");
    }

    #[test]
    fn hdf5_files_hold_bytes_in_the_samples_own_shape() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples.h5");
        let values = vec![-1.0, 0.0, 1.0, 3.0];
        let set = SampleSet { values, labels: vec![4, 7], shape: [1, 2, 1], per_subject: 1 };
        write_hdf5(&set, &path, "a test", 10).unwrap();
        let file = hdf5_metno::File::open(&path).unwrap();
        let images = file.dataset("images").unwrap();
        assert_eq!(images.shape(), [2, 1, 2, 1]);
        assert_eq!(images.read_raw::<u8>().unwrap(), [0, 128, 255, 255]);
        assert_eq!(file.dataset("labels").unwrap().read_raw::<i32>().unwrap(), [4, 7]);
    }
}
