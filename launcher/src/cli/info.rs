//! Arguments of `data info`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub struct InfoArgs {
    /// An HDF5 dataset
    pub file: PathBuf,
    /// A PNG of samples, spread evenly over the dataset, with their captions or classes below them
    #[arg(long, value_name = "PAGE.png")]
    pub picture: Option<PathBuf>,
    /// Samples in the picture
    #[arg(long, value_name = "N", default_value_t = 16, requires = "picture")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=256))]
    pub count: u32,
}
