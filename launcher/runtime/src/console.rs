//! What the user reads: the libraries' errors as reports, lines on standard error.

use std::{
    fmt::Display,
    io::{self, Write},
};

use miette::{Report, Result};

/// The libraries' messages say their cause themselves, so the chain of sources would only repeat it.
pub trait OrReport<T> {
    /// The result with the error's message alone.
    ///
    /// # Errors
    /// The same, as a report.
    fn or_report(self) -> Result<T>;
}

impl<T, E: Display> OrReport<T> for Result<T, E> {
    fn or_report(self) -> Result<T> {
        self.map_err(|error| Report::msg(error.to_string()))
    }
}

/// Writes a line to standard error. A reader that has gone (`2>&1 | head`) or a full log file must not end a run.
pub fn say(message: impl Display) {
    writeln!(io::stderr(), "{message}").ok();
}
