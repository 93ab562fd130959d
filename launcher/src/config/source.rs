//! Where a setting was written: its place in a file or on the command line.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// A text that holds settings, with the name it has in messages.
#[derive(Debug, Clone)]
pub struct Source {
    /// File path, or `--set`.
    pub name: String,
    pub text: String,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Toml,
    /// `section.key=value`, split at the first `=`.
    Assignment,
}

/// Byte ranges of a setting in its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub key: Range<usize>,
    pub value: Range<usize>,
}

impl Source {
    pub fn toml(name: impl Into<String>, text: impl Into<String>) -> Self {
        Source { name: name.into(), text: text.into(), kind: Kind::Toml }
    }

    /// The text of one `--set`.
    pub fn assignment(text: impl Into<String>) -> Self {
        Source { name: "--set".into(), text: text.into(), kind: Kind::Assignment }
    }

    /// Key path and value text of an assignment; `None` if it has no `=` or no section.
    pub fn split_assignment(&self) -> Option<(Vec<&str>, &str)> {
        let (key, value) = self.text.split_once('=')?;
        let path: Vec<&str> = key.trim().split('.').map(str::trim).collect();
        (path.len() >= 2 && path.iter().all(|part| !part.is_empty())).then_some((path, value.trim()))
    }

    /// Where the setting with this path is written, if it is written here.
    pub fn find(&self, path: &[String]) -> Option<Place> {
        match self.kind {
            Kind::Toml => find_in_toml(&self.text, path),
            Kind::Assignment => {
                let (own, _) = self.split_assignment()?;
                let same = own.iter().zip(path).all(|(a, b)| a == b);
                let equals = self.text.find('=')?;
                same.then(|| Place { key: 0..equals, value: equals + 1..self.text.len() })
            }
        }
    }
}

fn find_in_toml(text: &str, path: &[String]) -> Option<Place> {
    let document = DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    let mut place = None;
    for part in path {
        let (key, value) = table.iter().find(|(key, _)| key.get_ref() == part)?;
        place = Some(Place { key: key.span(), value: value.span() });
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => return place,
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn settings_are_found_in_tables_and_inline_tables() {
        let source = Source::toml("c.toml", "[train]\nsteps = 5\n[twinflow]\nshares = { e2e = 0.5 }\n");
        let at = |key: &str| source.find(&path(key)).map(|place| (&source.text[place.key], &source.text[place.value]));
        assert_eq!(at("train.steps"), Some(("steps", "5")));
        assert_eq!(at("twinflow.shares.e2e"), Some(("e2e", "0.5")));
        assert_eq!(at("train.batch_size"), None);
    }

    #[test]
    fn an_assignment_needs_a_section_and_a_value() {
        for text in ["train.steps", "steps=5", ".steps=5", "train.=5"] {
            assert!(Source::assignment(text).split_assignment().is_none(), "{text}");
        }
        let source = Source::assignment("train.steps = 5");
        assert_eq!(source.split_assignment(), Some((vec!["train", "steps"], "5")));
        assert_eq!(source.find(&path("train.steps")).unwrap().value, 13..15);
    }
}
