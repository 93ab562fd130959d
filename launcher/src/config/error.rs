//! Messages about settings, with the place where the setting is written.

use std::sync::Arc;

use miette::{Diagnostic, NamedSource, SourceSpan};

use super::source::Source;

/// A setting, or a file of settings, that cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{problem}")]
pub struct SettingError {
    pub problem: Box<Problem>,
    #[help]
    help: Option<String>,
    #[source_code]
    source_code: Option<Arc<NamedSource<String>>>,
    #[label("here")]
    span: Option<SourceSpan>,
}

/// What is wrong with the settings.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Problem {
    #[error("cannot read the config file {path}: {reason}")]
    Unreadable { path: String, reason: String },
    #[error("not valid TOML: {reason}")]
    Syntax { reason: String },
    /// `--set` without `section.key=value`.
    #[error("--set wants SECTION.KEY=VALUE, not '{text}'")]
    Assignment { text: String },
    /// A key that no section has.
    #[error("unknown key '{key}'")]
    UnknownKey {
        key: String,
        /// The keys that exist there.
        known: Vec<String>,
    },
    /// A value of another type or out of range.
    #[error("{key} is {found}, but must be {allowed}")]
    WrongValue { key: String, found: String, allowed: String },
    /// A value that its own section refuses; the reason names the key.
    #[error("{reason}")]
    Unfit { reason: String },
    /// A value that fits its type but makes no sense.
    #[error("{key}: {reason}")]
    Refused { key: String, reason: String },
}

impl Problem {
    /// What to do about it.
    fn help(&self) -> Option<String> {
        match self {
            Problem::UnknownKey { key, known } => {
                let last = key.rsplit('.').next().unwrap_or(key);
                let section =
                    key.rsplit_once('.').map_or("at the top".to_owned(), |(section, _)| format!("in [{section}]"));
                let nearest = nearest(last, known).map_or(String::new(), |name| format!("did you mean '{name}'? "));
                Some(format!("{nearest}Known {section}: {}", known.join(", ")))
            }
            Problem::WrongValue { found, allowed, .. } => {
                let found = found.trim_matches('"');
                nearest(found, &quoted_names(allowed)).map(|name| format!("did you mean \"{name}\"?"))
            }
            Problem::Assignment { .. } => Some("for example: --set train.steps=2000".into()),
            _ => None,
        }
    }
}

impl SettingError {
    /// A problem that has no place in a source.
    pub fn nowhere(problem: Problem) -> Self {
        SettingError { help: problem.help(), problem: Box::new(problem), source_code: None, span: None }
    }

    /// A problem at a byte range of a source.
    pub fn at(problem: Problem, source: &Source, span: Option<std::ops::Range<usize>>) -> Self {
        let source_code = Some(Arc::new(NamedSource::new(source.name.clone(), source.text.clone())));
        let (help, span) = (problem.help(), span.map(SourceSpan::from));
        SettingError { help, problem: Box::new(problem), source_code, span }
    }

    /// A problem with a setting, shown where the last of the sources that sets it does.
    pub fn with_key(problem: Problem, key: &str, sources: &[Source]) -> Self {
        let path: Vec<String> = key.split('.').map(str::to_owned).collect();
        let written = sources.iter().rev().find_map(|source| Some((source, source.find(&path)?)));
        match (written, &problem) {
            (Some((source, place)), Problem::UnknownKey { .. }) => Self::at(problem, source, Some(place.key)),
            (Some((source, place)), _) => Self::at(problem, source, Some(place.value)),
            (None, _) => Self::nowhere(problem),
        }
    }
}

/// The known name that is most like `name`, if any is near.
pub fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    let scored = known.iter().map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate));
    let (distance, candidate) = scored.min_by_key(|(distance, _)| *distance)?;
    let contained = name.len() >= 4 && (candidate.contains(name) || name.contains(candidate.as_str()));
    (distance <= (candidate.len() / 3).max(2) || contained).then_some(candidate)
}

/// The names between double quotes in a text.
fn quoted_names(text: &str) -> Vec<String> {
    text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let known: Vec<String> = ["guidance", "guidance_range", "order"].map(String::from).to_vec();
        assert_eq!(nearest("guidence", &known), Some("guidance"));
        assert_eq!(nearest("learning_rate", &known), None);
    }
}
