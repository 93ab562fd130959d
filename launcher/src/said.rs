//! From the libraries' errors to what the user reads.

use std::fmt::Display;

use miette::{Report, Result};

/// The libraries' messages say their cause themselves, so the chain of sources would only repeat it.
pub trait Said<T> {
    /// The result with the error's message alone.
    ///
    /// # Errors
    /// The same, as a report.
    fn said(self) -> Result<T>;
}

impl<T, E: Display> Said<T> for Result<T, E> {
    fn said(self) -> Result<T> {
        self.map_err(|error| Report::msg(error.to_string()))
    }
}
