//! report.html: what a run did, in one file that any browser shows, without anything from elsewhere.

pub mod charts;
mod evaluation;
mod html;
mod material;
mod page;

use std::path::{Path, PathBuf};

use miette::Result;

use self::material::Material;
use crate::run_folder::cannot;

/// Writes the report of the run in a folder, in place of an older one; gives its path.
///
/// # Errors
/// The folder is no run's, or a file cannot be read or written.
pub fn write(run: &Path) -> Result<PathBuf> {
    let page = page::page(&Material::read(run)?)?;
    let path = run.join("report.html");
    twinflow_files::write(&path, page).map_err(cannot("write", &path))?;
    Ok(path)
}

#[cfg(test)]
mod tests;
