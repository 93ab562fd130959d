//! `eval`: how good a checkpoint's samples are.

mod asked;
mod captions;
mod pictures;
mod points;
mod subject;

use miette::Result;

pub use self::pictures::test_file;
use self::subject::Subject;
use crate::{cli::EvalArgs, config::DataKind};

/// Runs `eval`.
///
/// # Errors
/// Bad arguments, a damaged checkpoint, missing data, no usable plugin, a file that cannot be written.
pub fn eval(args: &EvalArgs) -> Result<()> {
    let subject = Subject::load(args)?;
    match subject.config.data.kind {
        _ if subject.model().prompt_tokens() > 0 => captions::evaluate(args, &subject),
        DataKind::Toy => points::evaluate(args, &subject),
        DataKind::Hdf5 | DataKind::Synthetic => pictures::evaluate(args, &subject),
    }
}
