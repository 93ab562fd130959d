//! Rules for parameters by patterns of their paths.

use crate::{ArrayError, ParamPath};

/// What holds for parameters whose paths match patterns.
///
/// A pattern is segments separated by `/`. It matches where its segments stand one after the other anywhere in the path,
/// and with a leading `/` at its beginning only. Inside a segment `*` stands for any characters; the segment `*` of
/// stacked layers is matched by `*` too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParamRules<T> {
    rules: Vec<(Pattern, T)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    text: String,
    /// Of the segments.
    first: usize,
}

impl<T> ParamRules<T> {
    /// Rules of which later ones come before earlier ones.
    ///
    /// # Errors
    /// [`ArrayError::Pattern`] names the first pattern with an empty segment.
    pub fn new<P: Into<String>>(rules: impl IntoIterator<Item = (P, T)>) -> Result<Self, ArrayError> {
        let rules = rules.into_iter().map(|(pattern, value)| Ok((Pattern::new(pattern.into())?, value)));
        Ok(ParamRules { rules: rules.collect::<Result<_, _>>()? })
    }

    /// The value of the last rule that matches, if any does.
    pub fn find(&self, path: &ParamPath) -> Option<&T> {
        self.rules.iter().rev().find(|(pattern, _)| pattern.matches(path)).map(|(_, value)| value)
    }

    /// The patterns that match none of the paths: most likely misspelt.
    pub fn unmatched<'p>(&self, paths: impl IntoIterator<Item = &'p ParamPath>) -> Vec<&str> {
        let mut unmatched: Vec<&Pattern> = self.rules.iter().map(|(pattern, _)| pattern).collect();
        paths.into_iter().for_each(|path| unmatched.retain(|pattern| !pattern.matches(path)));
        unmatched.into_iter().map(|pattern| pattern.text.as_str()).collect()
    }
}

impl Pattern {
    fn new(text: String) -> Result<Self, ArrayError> {
        let pattern = Pattern { first: usize::from(text.starts_with('/')), text };
        if pattern.segments().any(str::is_empty) {
            return Err(ArrayError::Pattern { pattern: pattern.text });
        }
        Ok(pattern)
    }

    fn is_anchored(&self) -> bool {
        self.first == 1
    }

    fn segments(&self) -> impl Iterator<Item = &str> {
        self.text.split('/').skip(self.first)
    }

    fn matches(&self, path: &ParamPath) -> bool {
        let segments: Vec<&str> = path.as_str().split('/').collect();
        let places = if self.is_anchored() { 1 } else { segments.len() };
        (0..places).any(|start| {
            let mut rest = segments[start..].iter();
            self.segments().all(|pattern| rest.next().is_some_and(|segment| fits(pattern, segment)))
        })
    }
}

/// Whether a segment fits a pattern in which `*` stands for any characters.
fn fits(pattern: &str, segment: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == segment,
        Some((before, after)) => segment.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices().map(|(i, _)| i).chain([rest.len()]).any(|i| fits(after, &rest[i..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        ParamRules::new([(pattern, ())]).unwrap().find(&path.into()).is_some()
    }

    #[test]
    fn segments_stand_one_after_the_other_anywhere() {
        let path = "blocks/*/attention/q_norm/scale";
        for pattern in
            ["scale", "q_norm/scale", "attention/*/scale", "*norm", "q*m", "blocks/*", "*", "b*s/*/a*", "/blocks"]
        {
            assert!(matches(pattern, path), "{pattern}");
        }
        for pattern in
            ["norm", "attention/scale", "scale/*", "/attention", "/blocks/attention", "q_norm/scale/bias", "Scale"]
        {
            assert!(!matches(pattern, path), "{pattern}");
        }
        assert!(matches("/weight", "weight") && !matches("/weight", "up/weight"));
    }

    #[test]
    fn the_last_rule_that_matches_wins() {
        let rules = ParamRules::new([("*", 0), ("blocks", 1), ("bias", 2), ("/out/bias", 3)]).unwrap();
        let found = |path: &str| *rules.find(&path.into()).unwrap();
        assert_eq!(["in/weight", "blocks/*/weight", "blocks/*/bias", "out/bias"].map(found), [0, 1, 2, 3]);
        assert_eq!(ParamRules::new([("bias", 2)]).unwrap().find(&"weight".into()), None);
    }

    #[test]
    fn patterns_that_match_nothing_or_mean_nothing_are_named() {
        let rules = ParamRules::new([("bias", ()), ("blok/*", ()), ("/bias", ())]).unwrap();
        assert_eq!(rules.unmatched(&["out/bias".into(), "out/weight".into()]), ["blok/*", "/bias"]);
        for pattern in ["", "/", "blocks//bias", "blocks/"] {
            let error = ParamRules::new([(pattern, ())]).unwrap_err();
            assert!(error.to_string().starts_with(&format!("pattern '{pattern}' has an empty segment")), "{error}");
        }
    }
}
