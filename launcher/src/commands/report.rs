//! `report`: a run's report anew.

use std::path::Path;

use miette::Result;

use super::print_line;
use crate::report as run_report;

/// Runs `report`.
///
/// # Errors
/// The folder is no run's, or a file cannot be read or written.
pub fn report(run: &Path) -> Result<()> {
    print_line(run_report::write(run)?.display())
}
